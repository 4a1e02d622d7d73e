"""A relaxed search as the first phase of a study: its architectures are the study's trials."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ....common.errors import StudyError
from ....evaluators.task import Evaluator, Relaxable
from ....spaces import Config, Space
from ..protocol import Diary, FirstPhaseSampler, check_settings
from .search import RelaxedSearch
from .settings import Settings

DERIVED = 36
"""So many derived architectures are ranked."""

EVERY = 4
"""Every fourth trial is a random architecture, to set the derived ones beside."""


class RelaxedSampler(FirstPhaseSampler):
    """Proposes the architectures that a relaxed search derived, and some random ones.

    Slots 0, 1, 2 hold the first three derived architectures, slot 3 a random one, and so on.

    Args:
        space: What can be chosen.
        relaxed: Makes the relaxed search, or takes it up where it stopped.
        diary: Where its epochs and architectures are kept.
        lock: A file that one process alone holds while it searches.
        settings: How it searches, as plain values.
        seed: With the slot, the only source of randomness.
    """

    def __init__(
        self,
        space: Space,
        relaxed: Callable[[], RelaxedSearch],
        diary: Diary,
        lock: Path,
        *,
        settings: Mapping[str, Any],
        seed: int = 0,
    ) -> None:
        super().__init__(space, diary, lock, seed=seed)
        self._settings = json.loads(json.dumps(settings))  # as the diary gives them back
        check_settings(diary.read(), self._settings)
        self._relaxed: Callable[[], RelaxedSearch] | None = relaxed

    def search(self, diary: Diary) -> dict[str, Any]:
        assert self._relaxed is not None
        search = self._relaxed()

        def note(**more: Any) -> dict[str, Any]:
            found = {
                "method": search.settings.method,
                "planned": search.settings.epochs,
                "settings": self._settings,
                "options": search.supernet.relaxation.decisions,
                "epochs": [asdict(epoch) for epoch in search.epochs],
                **more,
            }
            diary.write(found)
            return found

        search.run(after_epoch=note)
        candidates = [asdict(candidate) for candidate in search.candidates(DERIVED)]
        return note(
            candidates=candidates, chosen=search.chosen.epoch, collapse=str(search.collapse)
        )

    def candidate(self, slot: int, candidates: Sequence[Config]) -> Config | None:
        rounds, place = divmod(slot, EVERY)
        number = rounds * (EVERY - 1) + place
        return candidates[number] if place < EVERY - 1 and number < len(candidates) else None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_relaxed": None}


def make_relaxed_sampler(
    settings: Settings, evaluator: Evaluator, diary: Diary, folder: Path, *, seed: int
) -> RelaxedSampler:
    """The sampler of a study.

    Args:
        settings: How to search.
        evaluator: It brings the supernet.
        diary: Where the search's findings are kept.
        folder: Where its checkpoint is kept.
        seed: The study's.

    Raises:
        StudyError: The evaluator has no supernet.
    """
    if not isinstance(evaluator, Relaxable):
        raise StudyError(
            f"sampler {settings.method!r} needs a supernet, which {type(evaluator).__name__} on "
            f"space {evaluator.space.name!r} has not: search cells on images or layers on a graph "
            "(space 'nas-bench-201', 'darts' or 'nas-bench-graph'), or use another sampler"
        )
    relaxable = evaluator

    def search() -> RelaxedSearch:
        supernet = relaxable.supernet(seed=seed, **settings.cures.of_supernet())
        return RelaxedSearch(supernet, settings, seed=seed, checkpoint=folder / "relaxed.pt")

    return RelaxedSampler(
        evaluator.space,
        search,
        diary,
        folder / "relaxed.lock",
        settings=asdict(settings),
        seed=seed,
    )
