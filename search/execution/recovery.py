"""Claiming slots, and giving back those of workers that died."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ..optuna_backend import trial_id
from .ownership import is_dead, is_mine, is_orphan, owner
from .slots import (
    CRASHED,
    INTERRUPTED,
    LOST,
    OWNER,
    RETRY_OF,
    VOID,
    SlotStudy,
    by_slot,
    is_lost,
    slots,
)
from .storage import create_trial, stale_trial_ids, write_system_attr, write_trial

TRIES = {CRASHED: 2, INTERRUPTED: 10}
"""How often a slot may be begun. A configuration that kills its worker is tried twice; a run that
is stopped from outside is not the configuration's fault, but may not repeat without end either."""


def claim(study: SlotStudy, budget: int) -> FrozenTrial | None:
    """Make the next trial, in the state RUNNING and owned by this process.

    The lowest slot whose trial was lost comes first, with that trial's configuration; then a fresh
    slot below ``budget``. ``None`` if there is neither, and no other host has left a trial.
    """
    while True:
        trials = study.all_trials()
        if recover(study, elsewhere=False, trials=trials):
            trials = study.all_trials()
        slot_of_number = slots(trials)
        taken = set(slot_of_number.values())
        lost = [t for t in by_slot(trials) if is_lost(t) and slot_of_number[t.number] < budget]
        if not lost and len(taken) >= budget:
            if recover(study, trials=trials):  # silent workers on other hosts
                continue
            return None
        trial = create_trial(study, _template(lost[0] if lost else None))
        # Numbers are counted within the transaction: if this is the next one, no other trial has
        # been made since the trials were read, and there is no need to read them again.
        alone = trial.number == len(trials)
        if alone or _is_first_in_slot(study, trial, budget):
            if alone:
                slot = slot_of_number[lost[0].number] if lost else len(taken)
                study.learn_slot(trial.number, slot)
            return trial
        _finish_as_lost(study, trial, VOID)


def _template(lost: FrozenTrial | None) -> FrozenTrial:
    attrs = {OWNER: owner()}
    if lost is None:
        return optuna.trial.create_trial(state=TrialState.RUNNING, system_attrs=attrs)
    first = lost.system_attrs.get(RETRY_OF, lost.number)
    # What the sampler noted of the configuration (a generation, a place in a grid) stays true.
    sampler_attrs = {k: v for k, v in lost.system_attrs.items() if k != LOST}
    return optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=lost.params,
        distributions=lost.distributions,
        system_attrs={**sampler_attrs, **attrs, RETRY_OF: first},
    )


def _is_first_in_slot(study: SlotStudy, trial: FrozenTrial, budget: int) -> bool:
    trials = study.all_trials()
    slot_of_number = slots(trials)
    slot = slot_of_number[trial.number]
    return slot < budget and not any(
        slot_of_number.get(t.number) == slot and t.number < trial.number and not is_lost(t)
        for t in trials
    )


def mark_lost(study: SlotStudy, trial: FrozenTrial, reason: str) -> None:
    """Give a running trial's slot back, or fail the trial if its slot was begun too often.

    Args:
        study: The study.
        trial: A trial in the state RUNNING.
        reason: `CRASHED` or `INTERRUPTED`.
    """
    trials = study.all_trials()
    slot_of_number = slots(trials)
    earlier = [
        t
        for t in trials
        if slot_of_number.get(t.number) == slot_of_number.get(trial.number)
        and t.number != trial.number
        and t.system_attrs.get(LOST) == reason
    ]
    tries = len(earlier) + 1
    try:
        if tries < TRIES[reason] or LOST in trial.system_attrs:
            _finish_as_lost(study, trial, reason)
            return
        cause = "its worker died" if reason == CRASHED else "the run was stopped or killed"
        error = f"given up: {cause} {tries} times while this configuration was training"
        write_trial(study, trial, user_attrs={"error": error}, state=TrialState.FAIL)
    except UpdateFinishedTrialError:
        return  # another process finished it first


def _finish_as_lost(study: SlotStudy, trial: FrozenTrial, reason: str) -> None:
    write_system_attr(study, trial, LOST, reason)
    write_trial(study, trial, state=TrialState.FAIL)


_RUNS: Counter[tuple[int, str]] = Counter()
"""How many runs of each (process, study) are going on; a fork is another process."""
_RUNS_LOCK = threading.Lock()


@contextmanager
def running(study: SlotStudy) -> Iterator[None]:
    """A run of a study in this process; it begins with giving back abandoned trials.

    A process that lives on, such as a notebook's, may have left a trial RUNNING when an exception
    came between two steps. If no other run of this process works on the study, such trials of its
    own are given back as well.
    """
    key = os.getpid(), study.study_name
    with _RUNS_LOCK:
        recover(study, idle=not _RUNS[key])
        _RUNS[key] += 1
    try:
        yield
    finally:
        with _RUNS_LOCK:
            _RUNS[key] -= 1


def recover(
    study: SlotStudy,
    *,
    elsewhere: bool = True,
    idle: bool = False,
    trials: Sequence[FrozenTrial] | None = None,
) -> int:
    """Give back the slots of workers that died: at once on this host, by heartbeat elsewhere.

    Args:
        study: The study.
        elsewhere: Whether to check the heartbeats of other hosts.
        idle: Whether this process runs no trial, even if the store has one that it owns.
        trials: The study's trials, if the caller has just read them.

    Returns:
        How many there were.
    """
    trials = study.all_trials() if trials is None else trials
    unfinished = [t for t in trials if t.state == TrialState.RUNNING]
    stale = stale_trial_ids(study) if unfinished and elsewhere else set()
    recovered = 0
    for trial in unfinished:
        process = trial.system_attrs.get(OWNER, {})
        mine = is_mine(process)
        dead = True if idle and mine else is_dead(process)
        if dead or (dead is None and trial_id(trial) in stale):
            reason = INTERRUPTED if dead is None or mine or is_orphan(process) else CRASHED
            mark_lost(study, trial, reason)
            recovered += 1
    return recovered
