"""The sampler of a study: by a name, ready-made, or with a first phase that has settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from optuna.samplers import BaseSampler

from ..banks.bank import Bank
from ..evaluators.task import Evaluator, Selective
from .execution.slots import SlotStudy
from .samplers import JOINT, RELAXED, make_sampler
from .samplers.base import SpaceSampler
from .studies import record
from .transfer.sources import SourceTasks

if TYPE_CHECKING:
    from .two_stage.once_for_all.settings import Settings as JointSettings
    from .two_stage.one_shot.settings import Settings as RelaxedSettings

Settings: TypeAlias = "JointSettings | RelaxedSettings"


class StudyDiary:
    """Keeps what a first phase finds in a study's store, whence MLflow and the report take it.

    Args:
        study: The study.
        notify: Called after each entry.
        attribute: The study's attribute; see `with_attribute`.
    """

    def __init__(self, study: SlotStudy, notify: Callable[[], object], attribute: str = "") -> None:
        self._study = study
        self._notify = notify
        self._attribute = attribute

    def with_attribute(self, attribute: str) -> StudyDiary:
        """The diary that writes there."""
        return StudyDiary(self._study, self._notify, attribute)

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = self._study.user_attrs.get(self._attribute, {})
        return found

    def write(self, found: dict[str, Any]) -> None:
        self._study.set_user_attr(self._attribute, found)
        self._notify()


def name_of(sampler: str | BaseSampler | Settings) -> str:
    """What a study calls its sampler."""
    if isinstance(sampler, str):
        return sampler
    return type(sampler).__name__ if isinstance(sampler, BaseSampler) else sampler.method


def make_study_sampler(
    sampler: str | BaseSampler | Settings,
    evaluator: Evaluator,
    seed: int,
    *,
    folder: Path,
    diary: StudyDiary,
    sources: Callable[[], SourceTasks | None],
    bank: Callable[[], tuple[Bank, int] | None],
) -> BaseSampler:
    """The sampler of a study.

    Args:
        sampler: A name, a sampler, or the settings of a first phase.
        evaluator: The study's.
        seed: The study's.
        folder: Where a first phase keeps its checkpoints.
        diary: Where it keeps what it finds.
        sources: The tasks of a bank; asked for by samplers that use one.
        bank: Where a joint search leaves its measurements, and the mark up to which it reads.

    Raises:
        UnknownNameError: There is no such sampler.
        StudyError: The evaluator cannot serve the first phase.
    """
    if isinstance(sampler, BaseSampler):
        return sampler
    name = name_of(sampler)
    if name in RELAXED:
        from .two_stage.one_shot.sampler import make_relaxed_sampler
        from .two_stage.one_shot.settings import default_settings

        relaxed: Any = sampler
        if isinstance(sampler, str):
            relaxed = default_settings(sampler, evaluator.space)
        place = diary.with_attribute(record.RELAXED)
        return make_relaxed_sampler(relaxed, evaluator, place, folder, seed=seed)
    if name == JOINT:
        from .two_stage.once_for_all.sampler import make_joint_sampler
        from .two_stage.once_for_all.settings import Settings as Joint

        joint: Any = Joint() if isinstance(sampler, str) else sampler
        place = diary.with_attribute(record.JOINT)
        kept, mark = bank() or (None, 0)
        return make_joint_sampler(joint, evaluator, place, folder, bank=kept, mark=mark, seed=seed)
    made = make_sampler(name, evaluator.space, seed, sources(), (*RELAXED, JOINT))
    if isinstance(made, SpaceSampler) and isinstance(evaluator, Selective):
        made.allows = evaluator.allows
    return made
