"""Searches in two stages: one that trains a shared network, then ordinary trials.

The first stage runs once, before the first trial, with progress and checkpoints. What it finds are
plain values, its *findings*: they are kept in the study's store, where MLflow and the report take
them from, and are complete when they hold ``candidates``, whose configurations become the trials.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from ...banks.bank import Bank
from ...common.errors import StudyError
from ...evaluators.task import Evaluator
from ...spaces import Config, Space
from ..optuna_backend import trial_id
from ..samplers.base import Observation, SpaceSampler, slot_of
from ..studies.trial import Trial

Findings = dict[str, Any]
"""What a first stage has found so far, as plain values."""

IN_BANK = "handed_down"
"""The key in the findings that says that the bank has the stage's measurements."""


class FindingsStore(Protocol):
    """Where a first stage keeps what it finds."""

    def read(self) -> Findings: ...

    def write(self, findings: Findings) -> None: ...


@runtime_checkable
class StageSettings(Protocol):
    """What a first stage is asked to do."""

    @property
    def method(self) -> str:
        """The sampler's name."""

    @property
    def label(self) -> str:
        """What a study's default name says of the settings; may be empty."""


S = TypeVar("S", bound=StageSettings)


@dataclass(frozen=True)
class StageContext:
    """What a study gives to its first stage.

    Attributes:
        evaluator: The study's.
        seed: The study's.
        folder: For checkpoints; no other study has it.
        store: For the findings.
        bank: Opens the study's bank, with its revision when the study began; ``None`` if there is
            no bank.
    """

    evaluator: Evaluator
    seed: int
    folder: Path
    store: FindingsStore
    bank: Callable[[], tuple[Bank, int] | None]


@dataclass(frozen=True)
class Logged:
    """What MLflow shows of a stage on the study's run.

    Attributes:
        metrics: By name.
        tags: By name, below ``bequest.``.
        documents: JSON values by path.
        figures: Matplotlib figures by path, without an ending.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A stage's part of the report.

    Attributes:
        title, text: In plain words.
        rows: Of one table; the keys of the first are its columns.
        figures: Matplotlib figures by title.
    """

    title: str
    text: str
    rows: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


class TwoStageSearch(ABC, Generic[S]):
    """A kind of search in two stages; one object of each is registered in `two_stage.SEARCHES`."""

    key: str
    """Under which findings are stored, in the study and in MLflow. Never changes."""

    @abstractmethod
    def settings(self, method: str, space: Space, limits: Sequence[Any] = ()) -> S:
        """The usual settings of a method.

        Args:
            method: A sampler's name.
            space: What the study searches.
            limits: What trials may cost, for searches that are registered to take limits.
        """

    @abstractmethod
    def sampler(self, settings: S, context: StageContext) -> StageSampler:
        """The sampler of a study.

        Raises:
            StudyError: The evaluator has no shared network, the limits leave nothing, or the study
                was begun with other settings.
        """

    @abstractmethod
    def curves(self, findings: Findings, epoch: Mapping[str, Any]) -> Mapping[str, float]:
        """The figures of one epoch (an entry of ``findings["epochs"]``) by their MLflow names."""

    @abstractmethod
    def logged(self, findings: Findings, trials: Sequence[Trial]) -> Logged:
        """What MLflow shows beside the curves."""

    @abstractmethod
    def section(self, findings: Findings, trials: Sequence[Trial]) -> Section:
        """The part of the report."""

    def targets(self, findings: Findings) -> list[dict[str, float]]:
        """The sets of limits that were asked for, if any, by name."""
        return []


class StageSampler(SpaceSampler):
    """Proposes what a first stage found: the candidate of each slot.

    A proposal is a pure function of (slot, findings).

    Args:
        space: What can be chosen.
        store: Where the findings are kept.
        lock: A file that one process alone holds during the stage.
        seed: The study's.

    Attributes:
        candidates: What the stage found; ``None`` before `prepare`.
    """

    reads_history = False

    def __init__(self, space: Space, store: FindingsStore, lock: Path, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.candidates: list[Config] | None = None
        self._store: FindingsStore | None = store
        self._lock = lock

    @abstractmethod
    def run_stage(self, store: FindingsStore) -> Findings:
        """Run the stage, or what is missing of it; write and return the findings."""

    def prepare(self, deadline: float | None = None) -> None:
        """Run the stage unless it is complete, and read its candidates.

        Args:
            deadline: The time (as `time.time` has it) after which the stage stops at its next
                checkpoint.

        Raises:
            StudyError: The deadline has passed; the next run continues the stage.
        """
        if self.candidates is not None:
            return
        assert self._store is not None
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock):
            findings = self._store.read()
            if "candidates" not in findings:
                findings = self.run_stage(_TimedStore(self._store, deadline))
            if IN_BANK not in findings and self.add_to_bank():
                self._store.write({**findings, IN_BANK: True})
        self.candidates = [dict(row["config"]) for row in findings["candidates"]]

    def add_to_bank(self) -> bool:
        """Add what the stage has measured to the bank.

        Returns:
            Whether that was done; if not, it is tried again when the study is resumed.
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
            StudyError: The stage found fewer candidates.
        """
        if slot >= len(candidates):
            raise StudyError(
                f"the search found {len(candidates)} networks, too few for {slot + 1} trials: "
                f"run {len(candidates)} at most"
            )
        return candidates[slot]

    def explain(self, history: Sequence[Observation]) -> dict[str, float]:
        """No source task has a weight."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes get the candidates; the store stays in this process.
        return {**self.__dict__, "_store": None, "_proposals": {}}


class _TimedStore:
    """A store that ends the stage when its time is over."""

    def __init__(self, store: FindingsStore, deadline: float | None) -> None:
        self._store = store
        self._deadline = deadline

    def read(self) -> Findings:
        return self._store.read()

    def write(self, findings: Findings) -> None:
        self._store.write(findings)
        if "candidates" in findings or self._deadline is None or time.time() < self._deadline:
            return
        raise StudyError(
            "the time is over before the search that comes first is: what it has done is kept, "
            "run again to go on"
        )


def check_settings(findings: Findings, settings: Mapping[str, Any]) -> None:
    """Check that a stage is continued, or read, with the settings with which it was begun.

    Args:
        findings: As stored; their ``settings`` are compared, if there are any.
        settings: Those asked for, as the findings keep them.

    Raises:
        StudyError: They differ.
    """
    for name, before in findings.get("settings", {}).items():
        if settings[name] != before:
            raise StudyError(
                f"the study was begun with {name} {before}, not {settings[name]}: give the new "
                "study another name"
            )
