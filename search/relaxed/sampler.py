"""A relaxed search as the first phase of a study: its architectures are the study's trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from ...errors import StudyError
from ...evaluators.task import Evaluator, Relaxable
from ...spaces import Config, Space
from ..samplers.base import Observation, SpaceSampler, slot_of
from .phase import RelaxedSearch
from .settings import Settings

DERIVED = 36
"""So many derived architectures are ranked."""

EVERY = 4
"""Every fourth trial is a random architecture, to set the derived ones beside."""


class Diary(Protocol):
    """Where a study keeps what its relaxed search has found."""

    def read(self) -> dict[str, Any]: ...

    def write(self, found: dict[str, Any]) -> None: ...


class RelaxedSampler(SpaceSampler):
    """Proposes the architectures that a relaxed search derived, and some random ones.

    Slots 0, 1, 2 hold the first three derived architectures, slot 3 a random one, and so on. A
    proposal is a pure function of (seed, slot, what the search found).

    Args:
        space: What can be chosen.
        search: Makes the relaxed search, or takes it up where it stopped.
        diary: Where its epochs and architectures are kept.
        lock: A file that one process alone holds while it searches.
        seed: With the slot, the only source of randomness.
    """

    reads_history = False

    def __init__(
        self,
        space: Space,
        search: Callable[[], RelaxedSearch],
        diary: Diary,
        lock: Path,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed=seed)
        self.candidates: list[Config] | None = None
        self._search: Callable[[], RelaxedSearch] | None = search
        self._diary: Diary | None = diary
        self._lock = lock

    def prepare(self) -> None:
        """Run the search, or what is missing of it; when it is over, only read."""
        if self.candidates is not None:
            return
        assert self._diary is not None
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock):
            found = self._diary.read()
            if "candidates" not in found:
                found = self._run()
        self.candidates = [dict(row["config"]) for row in found["candidates"]]

    def _run(self) -> dict[str, Any]:
        assert self._search is not None
        assert self._diary is not None
        diary, search = self._diary, self._search()

        def note(**more: Any) -> dict[str, Any]:
            found = {
                "method": search.settings.method,
                "planned": search.settings.epochs,
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

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        return space.sample(rng)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        self.prepare()
        assert self.candidates is not None
        assert self.space is not None
        rounds, place = divmod(slot_of(study, trial), EVERY)
        number = rounds * (EVERY - 1) + place
        if place == EVERY - 1 or number >= len(self.candidates):
            return super().infer_relative_search_space(study, trial)
        config = self.candidates[number]
        self._proposals[trial._trial_id] = config
        return self.space.distributions(config)

    def explain(self, history: Sequence[Observation]) -> dict[str, float]:
        """Nothing is inherited."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes get what was found; the supernet and the store stay here.
        return {**self.__dict__, "_search": None, "_diary": None, "_proposals": {}}


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

    return RelaxedSampler(evaluator.space, search, diary, folder / "relaxed.lock", seed=seed)
