"""A study as it stands in the store, to be read without its evaluator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage

from ...common.errors import StudyError, unknown_name
from ...common.home import file_name, home
from ..execution.slots import SlotStudy
from ..execution.storage import open_storage
from .objectives import front_of
from .trial import COMPLETE, Trial, read_trials

METADATA = "bequest"
"""The study attribute that holds what the study searches (see `Study.describe`) and its key."""

INHERITED = "bequest:inherited"
"""The study attribute that holds what earlier tasks handed down (see `Study.explain`)."""

RELAXED = "bequest:relaxed"
"""The study attribute that holds a relaxed search: its method, epochs, candidates."""

JOINT = "bequest:joint"
"""The study attribute that holds a joint search: its limits, predictor, front, candidates."""


UNEXPLAINED = "bequest:unexplained"
"""The study attribute that holds the slots of trials that failed by no fault of theirs."""


class StudyRecord:
    """What the store says of one study.

    Args:
        optuna_study: The stored study.
        facts: What it searches, as `Study.describe` gives it, and its ``key``.

    Attributes:
        name: The study's name.
        key: A name that no other study has or had, even one of the same name.
        conditions: Under which the task is measured, where they are not the usual ones.
        metric, direction: What is searched for.
        minimize: Metrics that are to be small, beside it.
    """

    def __init__(self, optuna_study: SlotStudy, facts: dict[str, Any]) -> None:
        self.optuna_study = optuna_study
        self.facts = facts
        self.name = optuna_study.study_name
        self.key: str = facts["key"]
        self.conditions: dict[str, Any] = facts.get("conditions", {})
        self.metric: str = facts["metric"]
        self.direction: str = facts["direction"]
        self.minimize: list[str] = facts.get("minimize", [])

    @property
    def trials(self) -> list[Trial]:
        """The trials, one a slot, in the order of their slots."""
        return read_trials(self.optuna_study)

    @property
    def best(self) -> Trial:
        """The complete trial with the best validation value; see `best_of` for equal ones.

        Raises:
            StudyError: No trial is complete.
        """
        found = best_of(self.trials, self.direction, self.minimize)
        if found is None:
            errors = [t.error for t in self.trials if t.error]
            why = f"run it first{f' (its last trial: {errors[-1]})' if errors else ''}"
            raise StudyError(f"study {self.name!r} has no complete trial yet: {why}")
        return found

    def best_within(self, within: Mapping[str, float]) -> Trial:
        """The best complete trial whose metrics are at most what is said.

        Args:
            within: Metrics with their limits, for example ``{"latency": 0.2}``.

        Raises:
            StudyError: There is none.
        """
        fitting = [t for t in self.trials if _meets(t, within)]
        found = best_of(fitting, self.direction, self.minimize)
        if found is None:
            asked = ", ".join(f"{name} {value:g}" for name, value in within.items())
            raise StudyError(
                f"study {self.name!r} has no complete trial within {asked or 'no limits'} yet: run "
                "more trials"
            )
        return found

    @property
    def targets(self) -> list[dict[str, float]]:
        """The sets of limits of a joint search, by name; empty where there is none."""
        rows = self.joint.get("candidates", [])
        return [target for row in rows for target in row["targets"]]

    def target_rows(self) -> list[dict[str, Any]]:
        """The best trial of each target as plain values: limits, trial, value, costs."""
        rows = []
        for target in self.targets:
            fitting = [t for t in self.trials if _meets(t, target)]
            best = best_of(fitting, self.direction, self.minimize)
            if best is not None:
                names = [n for n in self.joint["candidates"][0]["costs"] if n in best.metrics]
                limits = ", ".join(f"{name} {value:g}" for name, value in target.items())
                costs = {name: best.metrics[name] for name in names}
                rows.append({"within": limits, "trial": best.slot, self.metric: best.value} | costs)
        return rows

    @property
    def objectives(self) -> list[str]:
        """What is searched for, the task's metric first."""
        return [self.metric, *self.minimize]

    @property
    def front(self) -> list[Trial]:
        """The complete trials that no other beats in all objectives, best value first."""
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
    def inherited(self) -> list[dict[str, Any]]:
        """Which earlier tasks the sampler listened to (see `Study.explain`); may be empty."""
        rows: list[dict[str, Any]] = self.optuna_study.user_attrs.get(INHERITED, [])
        return rows

    @property
    def relaxed(self) -> dict[str, Any]:
        """What the relaxed search has found so far; empty where there is none."""
        found: dict[str, Any] = self.optuna_study.user_attrs.get(RELAXED, {})
        return found

    @property
    def joint(self) -> dict[str, Any]:
        """What the joint search has found so far; empty where there is none."""
        found: dict[str, Any] = self.optuna_study.user_attrs.get(JOINT, {})
        return found

    @property
    def unexplained(self) -> set[int]:
        """The slots of trials that failed when most did: nobody knows how good they are."""
        return {*self.optuna_study.user_attrs.get(UNEXPLAINED, [])}

    def explain_away(self, slots: Iterable[int]) -> None:
        """Note which slots' trials, of all, failed by no fault of their configurations."""
        known = {*slots}
        if known != self.unexplained:
            self.optuna_study.set_user_attr(UNEXPLAINED, sorted(known))

    @property
    def folder(self) -> Path:
        """Where the study's files are kept; no other study has it, even one of the same name."""
        return home() / "artifacts" / f"{file_name(self.name)}-{self.key[:8]}"


def _meets(trial: Trial, within: Mapping[str, float]) -> bool:
    limits = within.items()
    return all(trial.metrics.get(name, math.inf) <= value * (1 + 1e-9) for name, value in limits)


def best_of(trials: Iterable[Trial], direction: str, minimize: Sequence[str] = ()) -> Trial | None:
    """The best complete trial; of equal ones that of smaller metrics, then the earliest."""
    sign = 1.0 if direction == "maximize" else -1.0
    done = [t for t in trials if t.state == COMPLETE and t.value is not None]

    def rank(trial: Trial) -> tuple[float, ...]:
        costs = [-trial.metrics[name] for name in minimize]
        return (sign * (trial.value or 0.0), *costs, -trial.slot)

    return max(done, key=rank, default=None)


def incumbents(trials: Iterable[Trial], direction: str) -> list[float | None]:
    """The best complete value up to each trial; ``None`` before the first."""
    choose = max if direction == "maximize" else min
    best: float | None = None
    found = []
    for trial in trials:
        if trial.state == COMPLETE and trial.value is not None:
            best = trial.value if best is None else choose(best, trial.value)
        found.append(best)
    return found


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
    facts = study.user_attrs.get(METADATA)
    if facts is None:
        raise StudyError(f"study {name!r} was not made by Bequest: open it with Optuna")
    return StudyRecord(study, facts)


def list_records(storage: str | BaseStorage | None = None) -> list[StudyRecord]:
    """All studies of Bequest's in a store, by name."""
    store = open_storage(storage)
    records = []
    for name in optuna.get_all_study_names(store):
        study = SlotStudy(name, store)
        if METADATA in study.user_attrs:
            records.append(StudyRecord(study, study.user_attrs[METADATA]))
    return sorted(records, key=lambda record: record.name)
