"""A once-for-all search as the first stage of a study: the networks it finds are the trials."""

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
from ..protocol import Findings, FindingsStore, StageContext, StageSampler, check_settings
from .bank_records import add_measurements, source_samples
from .evolution import check_targets
from .search import CompressionSearch
from .settings import METHOD, OnceForAllSettings


class OnceForAllSampler(StageSampler):
    """Proposes the networks that were found: the best of each limit, then the rest of the front.

    Args:
        evaluator: What is searched.
        settings: How.
        store: Where the findings are kept.
        folder: Where the lock is.
        bank: Records of other tasks, to which this one's measurements are added.
        revision: Records that the bank got after this revision are not seen.
        seed: The study's.

    Raises:
        StudyError: A limit leaves no network.
        UnknownNameError: A limit names no cost.
    """

    def __init__(
        self,
        evaluator: ElasticEvaluator,
        settings: OnceForAllSettings,
        store: FindingsStore,
        folder: Path,
        *,
        bank: Bank | None = None,
        revision: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(evaluator.space, store, folder / "joint.lock", seed=seed)
        check_targets(evaluator.costs, settings.limits)  # refused before anything is trained
        _warn_of_loose(settings.limits, evaluator.costs)
        _check_same(store.read(), settings)
        self._evaluator: ElasticEvaluator | None = evaluator
        self._settings = settings
        self._bank = bank
        self._revision = revision

    def run_stage(self, store: FindingsStore) -> Findings:
        return self._search().run(store.write)

    def add_to_bank(self) -> bool:
        if self._bank is None:
            return False
        assert self._evaluator is not None
        try:
            search = self._search()
            measured = search.floats, [search.drawn, search.chosen]
            add_measurements(self._bank, self._evaluator, self.seed, *measured)
        except (BequestError, SQLAlchemyError) as error:
            warnings.warn(
                f"the bank did not take the measured networks ({reason_of(error)}): "
                "nothing is lost, it gets them when the study is run again",
                stacklevel=2,
            )
            return False
        return True

    def _search(self) -> CompressionSearch:
        evaluator, bank = self._evaluator, self._bank
        assert evaluator is not None
        others = [] if bank is None else source_samples(bank, evaluator, self._revision)
        return CompressionSearch(evaluator, self._settings, seed=self.seed, earlier=others)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_evaluator": None, "_bank": None}


def _warn_of_loose(limits: Sequence[Limit], costs: NetworkCosts) -> None:
    for limit in limits:
        largest = costs.largest(limit.name)
        if limit.value >= largest:
            most = f"{largest:.3g}{UNITS[limit.name]}"
            text = f"limit {limit} excludes nothing: no network has more than {limit.name}={most}"
            warnings.warn(text, stacklevel=4)


def _check_same(findings: dict[str, Any], settings: OnceForAllSettings) -> None:
    asked = [str(limit) for limit in settings.limits]
    before = findings.get("limits", asked)
    if _numbers(before) != _numbers(asked):
        raise StudyError(
            f"the study was begun with limits {', '.join(before) or 'none'}, not "
            f"{', '.join(asked) or 'none'}: give the new study another name"
        )
    check_settings(findings, settings.described())


def _numbers(limits: list[str]) -> list[tuple[str, float]]:
    """Limits as names and values, in any order: without a unit a number is in the usual one."""
    return sorted((limit.name, limit.value) for limit in map(parse_limit, limits))


def make_once_for_all_sampler(
    settings: OnceForAllSettings, context: StageContext
) -> OnceForAllSampler:
    """The sampler of a study.

    Raises:
        StudyError: The evaluator is not of an elastic space, or a limit leaves no network.
    """
    evaluator = context.evaluator
    if not isinstance(evaluator, ElasticEvaluator):
        raise StudyError(
            f"sampler {METHOD!r} searches an elastic space, not {evaluator.space.name!r}: search "
            "images with space 'elastic', or use another sampler"
        )
    bank, revision = context.bank() or (None, 0)
    return OnceForAllSampler(
        evaluator,
        settings,
        context.store,
        context.folder,
        bank=bank,
        revision=revision,
        seed=context.seed,
    )
