"""A stored study, to be read without its evaluator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage

from ...common.errors import StudyError, unknown_name
from ...common.home import file_name, home
from ...common.renamed import FINDINGS, warn_of_renamed
from ..execution.slots import SlotStudy
from ..execution.storage import open_storage
from .objectives import front_of
from .trial import COMPLETE, Trial, read_trials

METADATA = "bequest"
"""The study attribute that holds the study's identity (see `identity`)."""

SOURCE_WEIGHTS = "bequest:inherited"
"""The study attribute that holds the weights of the source tasks (see `Study.explain`)."""

UNEXPLAINED = "bequest:unexplained"
"""The study attribute that holds the slots of failures that no configuration is to blame for."""


class StudyRecord:
    """A stored study, to be read.

    Args:
        optuna_study: The stored study.
        identity: What it searches, as `Study.describe` returns it, and its ``key``.

    Attributes:
        name: The study's name.
        key: A name that no other study has or had, even one of the same name.
        conditions: Under which the task is measured, if they are not the usual ones.
        metric, direction: What is searched for.
        minimize: Further metrics that are to be small.
    """

    def __init__(self, optuna_study: SlotStudy, identity: dict[str, Any]) -> None:
        self.optuna_study = optuna_study
        self.identity = identity
        self.name = optuna_study.study_name
        self.key: str = identity["key"]
        self.conditions: dict[str, Any] = identity.get("conditions", {})
        self.metric: str = identity["metric"]
        self.direction: str = identity["direction"]
        self.minimize: list[str] = identity.get("minimize", [])

    @property
    def trials(self) -> list[Trial]:
        """The trials, one a slot, in the order of their slots."""
        return read_trials(self.optuna_study)

    @property
    def best(self) -> Trial:
        """The complete trial with the best validation value (see `best_of` for ties).

        Raises:
            StudyError: No trial is complete.
        """
        best = best_of(self.trials, self.direction, self.minimize)
        if best is None:
            errors = [t.error for t in self.trials if t.error]
            why = f"run it first{f' (its last trial: {errors[-1]})' if errors else ''}"
            raise StudyError(f"study {self.name!r} has no complete trial yet: {why}")
        return best

    def best_within(self, within: Mapping[str, float]) -> Trial:
        """The best complete trial whose metrics are within limits.

        Args:
            within: The largest value of each limited metric, for example ``{"latency": 0.2}``.

        Raises:
            StudyError: There is none.
        """
        candidates = [t for t in self.trials if meets(t, within)]
        best = best_of(candidates, self.direction, self.minimize)
        if best is None:
            asked = ", ".join(f"{name} {value:g}" for name, value in within.items())
            raise StudyError(
                f"study {self.name!r} has no complete trial within {asked or 'no limits'} yet: run "
                "more trials"
            )
        return best

    @property
    def objectives(self) -> list[str]:
        """The names of all objectives, the task's metric first."""
        return [self.metric, *self.minimize]

    @property
    def front(self) -> list[Trial]:
        """The Pareto front of the complete trials, best value first."""
        return front_of(self.trials, self.direction, self.minimize)

    def front_rows(self) -> list[dict[str, Any]]:
        """The front as plain values: trial, objectives, configuration."""
        return [
            {
                "trial": t.slot,
                self.metric: t.value,
                **{name: t.metrics[name] for name in self.minimize},
                "config": t.config,
            }
            for t in self.front
        ]

    @property
    def source_weights(self) -> list[dict[str, Any]]:
        """Which source tasks the sampler used, and how much (see `Study.explain`); may be empty."""
        rows: list[dict[str, Any]] = self.optuna_study.user_attrs.get(SOURCE_WEIGHTS, [])
        return rows

    def findings(self, key: str) -> dict[str, Any]:
        """What a first stage has found so far; empty if there is none.

        Args:
            key: The search's (see `two_stage.protocol.TwoStageSearch`).
        """
        findings: dict[str, Any] = self.optuna_study.user_attrs.get(findings_attribute(key), {})
        return findings

    def __getattr__(self, name: str) -> Any:
        if name == "facts":  # of version 0.1, as are the following
            warn_of_renamed("StudyRecord.facts", "StudyRecord.identity")
            return self.identity
        if name in FINDINGS:
            warn_of_renamed(f"StudyRecord.{name}", f"StudyRecord.findings({name!r})")
            return self.findings(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def unexplained(self) -> set[int]:
        """The slots of trials that failed when most did, whose configurations may be good."""
        return {*self.optuna_study.user_attrs.get(UNEXPLAINED, [])}

    def set_unexplained(self, slots: Iterable[int]) -> None:
        """Store the slots of all trials whose failures say nothing of their configurations."""
        unexplained = {*slots}
        if unexplained != self.unexplained:
            self.optuna_study.set_user_attr(UNEXPLAINED, sorted(unexplained))

    @property
    def folder(self) -> Path:
        """The folder of the study's files; no other study has it, even one of the same name."""
        return home() / "artifacts" / f"{file_name(self.name)}-{self.key[:8]}"


def findings_attribute(key: str) -> str:
    """The study attribute that holds the findings of a first stage."""
    return f"bequest:{key}"


def meets(trial: Trial, within: Mapping[str, float]) -> bool:
    """Whether a trial's metrics are at most so large, but for rounding."""
    limits = within.items()
    return all(trial.metrics.get(name, math.inf) <= value * (1 + 1e-9) for name, value in limits)


def best_of(trials: Iterable[Trial], direction: str, minimize: Sequence[str] = ()) -> Trial | None:
    """The best complete trial; ties are broken by smaller metrics, then by the earlier slot."""
    sign = 1.0 if direction == "maximize" else -1.0
    complete = [t for t in trials if t.state == COMPLETE and t.value is not None]

    def rank(trial: Trial) -> tuple[float, ...]:
        costs = [-trial.metrics[name] for name in minimize]
        return (sign * (trial.value or 0.0), *costs, -trial.slot)

    return max(complete, key=rank, default=None)


def incumbents(trials: Iterable[Trial], direction: str) -> list[float | None]:
    """The best complete value up to each trial; ``None`` before the first."""
    choose = max if direction == "maximize" else min
    best: float | None = None
    values = []
    for trial in trials:
        if trial.state == COMPLETE and trial.value is not None:
            best = trial.value if best is None else choose(best, trial.value)
        values.append(best)
    return values


def open_record(name: str, storage: str | BaseStorage | None = None) -> StudyRecord:
    """A stored study by its name.

    Raises:
        UnknownNameError: There is none of that name.
        StudyError: It is an Optuna study that Bequest did not make.
    """
    store = open_storage(storage)
    names = optuna.get_all_study_names(store)
    if name not in names:
        if not names:
            raise StudyError(f"no study {name!r}: the store is empty, begin with `bequest search`")
        raise unknown_name("study", name, names)
    study = SlotStudy(name, store)
    identity = study.user_attrs.get(METADATA)
    if identity is None:
        raise StudyError(f"study {name!r} was not made by Bequest: open it with Optuna")
    return StudyRecord(study, identity)


def list_records(storage: str | BaseStorage | None = None) -> list[StudyRecord]:
    """The studies in a store that Bequest made, ordered by name."""
    store = open_storage(storage)
    records = []
    for name in optuna.get_all_study_names(store):
        study = SlotStudy(name, store)
        if METADATA in study.user_attrs:
            records.append(StudyRecord(study, study.user_attrs[METADATA]))
    return sorted(records, key=lambda record: record.name)
