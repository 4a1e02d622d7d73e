"""A one-shot search as the first stage of a study: its architectures are the study's trials."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ....common.errors import StudyError
from ....evaluators.task import OneShotSearchable
from ....spaces import Config, Space
from ..protocol import Findings, FindingsStore, StageContext, StageSampler, check_settings
from .search import SupernetSearch
from .settings import OneShotSettings

DERIVED = 36
"""So many derived architectures are ranked."""

EVERY = 4
"""Every fourth trial is a random architecture, as a comparison for the derived ones."""


class OneShotSampler(StageSampler):
    """Proposes the architectures that a one-shot search derived, and some random ones.

    Slots 0, 1, 2 hold the first three derived architectures, slot 3 a random one, and so on.

    Args:
        space: What can be chosen.
        make_search: Makes the search, or resumes it from its checkpoint.
        store: Where its epochs and architectures are kept.
        lock: A file that one process alone holds during the search.
        settings: How it searches, as plain values.
        seed: With the slot, the only source of randomness.
    """

    def __init__(
        self,
        space: Space,
        make_search: Callable[[], SupernetSearch],
        store: FindingsStore,
        lock: Path,
        *,
        settings: Mapping[str, Any],
        seed: int = 0,
    ) -> None:
        super().__init__(space, store, lock, seed=seed)
        self._settings = json.loads(json.dumps(settings))  # as the store returns them
        check_settings(store.read(), self._settings)
        self._make_search: Callable[[], SupernetSearch] | None = make_search

    def run_stage(self, store: FindingsStore) -> Findings:
        assert self._make_search is not None
        search = self._make_search()

        def write(**results: Any) -> Findings:
            findings = {
                "method": search.settings.method,
                "planned": search.settings.epochs,
                "settings": self._settings,
                "options": search.supernet.relaxation.decisions,
                "epochs": [asdict(epoch) for epoch in search.epochs],
                **results,
            }
            store.write(findings)
            return findings

        search.run(after_epoch=write)
        candidates = [asdict(candidate) for candidate in search.candidates(DERIVED)]
        return write(
            candidates=candidates, chosen=search.chosen.epoch, collapse=str(search.collapse)
        )

    def candidate(self, slot: int, candidates: Sequence[Config]) -> Config | None:
        rounds, place = divmod(slot, EVERY)
        number = rounds * (EVERY - 1) + place
        return candidates[number] if place < EVERY - 1 and number < len(candidates) else None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_make_search": None}


def make_one_shot_sampler(settings: OneShotSettings, context: StageContext) -> OneShotSampler:
    """The sampler of a study.

    Raises:
        StudyError: The evaluator has no supernet, or the study was begun with other settings.
    """
    evaluator, seed = context.evaluator, context.seed
    if not isinstance(evaluator, OneShotSearchable):
        raise StudyError(
            f"sampler {settings.method!r} needs a supernet, which {type(evaluator).__name__} on "
            f"space {evaluator.space.name!r} has not: search cells on images or layers on a graph "
            "(space 'nas-bench-201', 'darts' or 'nas-bench-graph'), or use another sampler"
        )

    def make_search() -> SupernetSearch:
        supernet = evaluator.supernet(seed=seed, **settings.regularisation.of_supernet())
        # The checkpoint's name is stored: searches that version 0.1 began go on.
        checkpoint = context.folder / "relaxed.pt"
        return SupernetSearch(supernet, settings, seed=seed, checkpoint=checkpoint)

    return OneShotSampler(
        evaluator.space,
        make_search,
        context.store,
        context.folder / "relaxed.lock",
        settings=settings.stored(),
        seed=seed,
    )
