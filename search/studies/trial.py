"""A trial as people see it: one frozen record, whatever the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ...common.errors import OverLimitError
from ...spaces import Config
from ..execution.slots import LOST, OWNER, SlotStudy, by_slot, is_lost, slots

COMPLETE, PRUNED, FAILED, RUNNING, LOST_STATE = "complete", "pruned", "failed", "running", "lost"

_STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: RUNNING,
}


def is_refusal(error: str | None) -> bool:
    """Whether a trial was refused, before any training, because it exceeds a limit."""
    return (error or "").startswith(f"{OverLimitError.__name__}:")


@dataclass(frozen=True)
class Trial:
    """One evaluation.

    Attributes:
        slot: Its place in the study, from 0.
        number: The number that Optuna gave it (a retry has a new number, not a new slot).
        state: ``complete``, ``pruned``, ``failed``, ``running`` or ``lost`` (to be tried again).
        config: The configuration.
        value: The objective; for a pruned trial the last reported value; ``None`` otherwise.
        metrics: Further measurements, by name.
        error: Why it failed or was lost.
        curve: The reported learning curve, by step.
        started, finished: Local times.
        owner: The process that ran it, see `ownership`.
    """

    slot: int
    number: int
    state: str
    config: Config
    value: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    curve: dict[int, float] = field(default_factory=dict)
    started: datetime | None = None
    finished: datetime | None = None
    owner: dict[str, Any] = field(default_factory=dict)


def record(trial: FrozenTrial, slot: int) -> Trial:
    """The record of one stored trial."""
    lost = is_lost(trial)
    return Trial(
        slot=slot,
        number=trial.number,
        state=LOST_STATE if lost else _STATES[trial.state],
        config=dict(trial.params),
        value=trial.values[0] if trial.values else None,
        metrics=dict(trial.user_attrs.get("metrics", {})),
        error=trial.system_attrs[LOST] if lost else trial.user_attrs.get("error"),
        curve=dict(trial.intermediate_values),
        started=trial.datetime_start,
        finished=trial.datetime_complete,
        owner=dict(trial.system_attrs.get(OWNER, {})),
    )


def read_trials(study: SlotStudy) -> list[Trial]:
    """The study's trials, one a slot, in the order of their slots."""
    trials = study.all_trials()
    slot_of_number = slots(trials)
    return [record(trial, slot_of_number[trial.number]) for trial in by_slot(trials)]
