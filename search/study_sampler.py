"""The sampler of a study: by a name, ready-made, or of a search in two stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from optuna.samplers import BaseSampler

from ..banks.bank import Bank
from ..evaluators.task import Evaluator, Selective
from .execution.slots import SlotStudy
from .samplers import make_sampler
from .samplers import uses_bank as sampler_uses_bank
from .samplers.base import SpaceSampler
from .studies.record import findings_attribute
from .transfer.sources import SourceTasks
from .two_stage import SEARCHES
from .two_stage.protocol import Findings, StageContext, StageSettings

AnySampler: TypeAlias = str | BaseSampler | StageSettings


class StudyFindings:
    """Keeps what a first stage finds in a study's store, where MLflow and the report read it.

    Args:
        study: The study.
        key: The search's (see `two_stage.protocol.TwoStageSearch`).
        notify: Called after each write.
    """

    def __init__(self, study: SlotStudy, key: str, notify: Callable[[], object]) -> None:
        self._study = study
        self._attribute = findings_attribute(key)
        self._notify = notify

    def read(self) -> Findings:
        findings: Findings = self._study.user_attrs.get(self._attribute, {})
        return findings

    def write(self, findings: Findings) -> None:
        self._study.set_user_attr(self._attribute, findings)
        self._notify()


def name_of(sampler: AnySampler) -> str:
    """What a study calls its sampler."""
    if isinstance(sampler, str):
        return sampler
    return type(sampler).__name__ if isinstance(sampler, BaseSampler) else sampler.method


def label_of(sampler: AnySampler) -> str:
    """What a study's default name says of the sampler's settings; empty for the usual ones."""
    return sampler.label if isinstance(sampler, StageSettings) else ""


def uses_bank(name: str) -> bool:
    """Whether a sampler proposes otherwise when its bank has other records."""
    return sampler_uses_bank(name) or (name in SEARCHES and SEARCHES[name].uses_bank)


def make_study_sampler(
    sampler: AnySampler,
    study: SlotStudy,
    evaluator: Evaluator,
    seed: int,
    *,
    folder: Path,
    notify: Callable[[], object],
    sources: Callable[[], SourceTasks | None],
    bank: Callable[[], tuple[Bank, int] | None],
) -> BaseSampler:
    """The sampler of a study.

    Args:
        sampler: A name, a sampler, or the settings of a search in two stages.
        study: The study.
        evaluator: The study's.
        seed: The study's.
        folder: Where a first stage keeps its checkpoints.
        notify: Called when a first stage has found something.
        sources: What the bank offers to samplers that learn from source tasks.
        bank: Opens the bank for a first stage, with its revision when the study began.

    Raises:
        UnknownNameError: There is no such sampler.
        StudyError: The evaluator does not fit a first stage.
    """
    if isinstance(sampler, BaseSampler):
        return sampler
    name = name_of(sampler)
    if name in SEARCHES:
        search = SEARCHES[name].load()
        settings: Any = sampler
        if isinstance(sampler, str):
            settings = search.settings(name, evaluator.space)
        store = StudyFindings(study, search.key, notify)
        return search.sampler(settings, StageContext(evaluator, seed, folder, store, bank))
    optuna_sampler = make_sampler(name, evaluator.space, seed, sources(), also=SEARCHES)
    if isinstance(optuna_sampler, SpaceSampler) and isinstance(evaluator, Selective):
        optuna_sampler.allows = evaluator.allows
    return optuna_sampler
