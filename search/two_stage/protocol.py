"""A sampler whose proposals come from a search that runs before the first trial."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from ...common.errors import StudyError
from ...spaces import Config, Space
from ..optuna_backend import trial_id
from ..samplers.base import Observation, SpaceSampler, slot_of

HANDED_DOWN = "handed_down"
"""The diary's note that later studies have what the phase measured."""


class Diary(Protocol):
    """Where a study keeps what its first phase has found."""

    def read(self) -> dict[str, Any]: ...

    def write(self, found: dict[str, Any]) -> None: ...


class FirstPhaseSampler(SpaceSampler):
    """Proposes what a first phase has found: its candidate of each slot.

    A proposal is a pure function of (slot, what was found).

    Args:
        space: What can be chosen.
        diary: Where the findings are kept; they are complete when they hold ``candidates``, rows
            with a ``config`` each.
        lock: A file that one process alone holds while it searches.
        seed: The study's.

    Attributes:
        candidates: What the phase found; ``None`` before `prepare`.
    """

    reads_history = False

    def __init__(self, space: Space, diary: Diary, lock: Path, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.candidates: list[Config] | None = None
        self._diary: Diary | None = diary
        self._lock = lock

    @abstractmethod
    def search(self, diary: Diary) -> dict[str, Any]:
        """Run the phase, or what is missing of it; write and return what it found."""

    def prepare(self, deadline: float | None = None) -> None:
        """Run the phase where it is not over; else only read.

        Args:
            deadline: The time (as `time.time` has it) after which the phase stops at its next
                entry in the diary.

        Raises:
            StudyError: The deadline has passed; the phase goes on where it stopped.
        """
        if self.candidates is not None:
            return
        assert self._diary is not None
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock):
            found = self._diary.read()
            if "candidates" not in found:
                found = self.search(_Timed(self._diary, deadline))
            if HANDED_DOWN not in found and self.hand_down():
                self._diary.write({**found, HANDED_DOWN: True})
        self.candidates = [dict(row["config"]) for row in found["candidates"]]

    def hand_down(self) -> bool:
        """Leave to later studies what the phase has measured.

        Returns:
            Whether that was done; if not, it is tried again when the study goes on.
        """
        return False

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
        config = self.candidate(slot_of(study, trial), self.candidates)
        if config is None:
            return super().infer_relative_search_space(study, trial)
        self._proposals[trial_id(trial)] = config
        return self.space.distributions(config)

    def candidate(self, slot: int, candidates: Sequence[Config]) -> Config | None:
        """What a slot tries; ``None`` for a random configuration.

        Raises:
            StudyError: The phase did not find so many.
        """
        if slot >= len(candidates):
            raise StudyError(
                f"the search found {len(candidates)} networks, too few for {slot + 1} trials: "
                f"run {len(candidates)} at most"
            )
        return candidates[slot]

    def explain(self, history: Sequence[Observation]) -> dict[str, float]:
        """Nothing is inherited."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes get what was found; the store stays here.
        return {**self.__dict__, "_diary": None, "_proposals": {}}


class _Timed:
    """A diary that ends the phase when its time is over."""

    def __init__(self, diary: Diary, deadline: float | None) -> None:
        self._diary = diary
        self._deadline = deadline

    def read(self) -> dict[str, Any]:
        return self._diary.read()

    def write(self, found: dict[str, Any]) -> None:
        self._diary.write(found)
        if "candidates" in found or self._deadline is None or time.time() < self._deadline:
            return
        raise StudyError(
            "the time is over before the search that comes first is: what it has done is kept, "
            "run again to go on"
        )


def check_settings(found: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """See that a phase goes on, or is read, with the settings with which it was begun.

    Args:
        found: What the diary has; its ``settings`` are compared, where it has any.
        now: Those that are asked for, as the diary keeps them.

    Raises:
        StudyError: They differ.
    """
    for name, before in found.get("settings", {}).items():
        if now[name] != before:
            raise StudyError(
                f"the study was begun with {name} {before}, not {now[name]}: give the new study "
                "another name"
            )
