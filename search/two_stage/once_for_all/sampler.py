"""A joint search as the first phase of a study: the networks it finds are the trials."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ....banks.bank import Bank
from ....common.errors import BequestError, StudyError, reason_of
from ....evaluators.hardware.totals import UNITS, NetworkCosts
from ....evaluators.limits import Limit, parse_limit
from ....evaluators.once_for_all.evaluator import ElasticEvaluator
from ....evaluators.task import Evaluator
from ...samplers import JOINT
from ..protocol import Diary, FirstPhaseSampler, check_settings
from .bank_records import earlier, leave
from .evolution import check_targets
from .search import JointSearch
from .settings import Settings


class JointSampler(FirstPhaseSampler):
    """Proposes the networks of a joint search: the best of each limit, then others of the front.

    Args:
        evaluator: What is searched.
        settings: How.
        diary: Where the findings are kept.
        folder: Where the lock is.
        bank: What other tasks found, and where this one's measurements go.
        mark: What the bank has learned after this mark is not seen.
        seed: The study's.

    Raises:
        StudyError: A limit leaves no network.
        UnknownNameError: A limit names no cost.
    """

    def __init__(
        self,
        evaluator: ElasticEvaluator,
        settings: Settings,
        diary: Diary,
        folder: Path,
        *,
        bank: Bank | None = None,
        mark: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(evaluator.space, diary, folder / "joint.lock", seed=seed)
        check_targets(evaluator.costs, settings.limits)  # refused before anything is trained
        _warn_of_loose(settings.limits, evaluator.costs)
        _check_same(diary.read(), settings)
        self._evaluator: ElasticEvaluator | None = evaluator
        self._settings = settings
        self._bank = bank
        self._mark = mark

    def search(self, diary: Diary) -> dict[str, Any]:
        return self._joint_search().run(diary.write)

    def hand_down(self) -> bool:
        if self._bank is None:
            return False
        assert self._evaluator is not None
        try:
            search = self._joint_search()
            measured = search.floats, [search.drawn, search.chosen]
            leave(self._bank, self._evaluator, self.seed, *measured)
        except (BequestError, SQLAlchemyError) as error:
            warnings.warn(
                f"the bank did not take the measured networks ({reason_of(error)}): "
                "nothing is lost, it gets them when the study is run again",
                stacklevel=2,
            )
            return False
        return True

    def _joint_search(self) -> JointSearch:
        evaluator, bank = self._evaluator, self._bank
        assert evaluator is not None
        others = [] if bank is None else earlier(bank, evaluator, self._mark)
        return JointSearch(evaluator, self._settings, seed=self.seed, earlier=others)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_evaluator": None, "_bank": None}


def _warn_of_loose(limits: Sequence[Limit], costs: NetworkCosts) -> None:
    for limit in limits:
        largest = costs.largest(limit.name)
        if limit.value >= largest:
            most = f"{largest:.3g}{UNITS[limit.name]}"
            text = f"limit {limit} excludes nothing: no network has more than {limit.name}={most}"
            warnings.warn(text, stacklevel=4)


def _check_same(found: dict[str, Any], settings: Settings) -> None:
    asked = [str(limit) for limit in settings.limits]
    before = found.get("limits", asked)
    if _numbers(before) != _numbers(asked):
        raise StudyError(
            f"the study was begun with limits {', '.join(before) or 'none'}, not "
            f"{', '.join(asked) or 'none'}: give the new study another name"
        )
    check_settings(found, settings.described())


def _numbers(limits: list[str]) -> list[tuple[str, float]]:
    """Limits as names and values, in any order: without a unit a number is in the usual one."""
    return sorted((limit.name, limit.value) for limit in map(parse_limit, limits))


def make_joint_sampler(
    settings: Settings,
    evaluator: Evaluator,
    diary: Diary,
    folder: Path,
    *,
    bank: Bank | None,
    mark: int,
    seed: int,
) -> JointSampler:
    """The sampler of a study.

    Raises:
        StudyError: The evaluator is not of an elastic space, or a limit leaves no network.
    """
    if not isinstance(evaluator, ElasticEvaluator):
        raise StudyError(
            f"sampler {JOINT!r} searches an elastic space, not {evaluator.space.name!r}: search "
            "images with space 'elastic', or use another sampler"
        )
    return JointSampler(evaluator, settings, diary, folder, bank=bank, mark=mark, seed=seed)
