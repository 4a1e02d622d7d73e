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
from .storage import create_trial, stale_trial_ids, write_trial

TRIES = {CRASHED: 2, INTERRUPTED: 10}
"""How often a slot may be begun. A configuration that kills its worker is tried twice; a run that
is stopped from outside is not the configuration's fault, but nor may it go on for ever."""


def claim(study: SlotStudy, budget: int) -> FrozenTrial | None:
    """Make the next trial, in the state RUNNING and owned by this process.

    The lowest slot whose trial was lost comes first, with that trial's configuration; then a fresh
    slot below ``budget``. ``None`` when there is neither, and no other host has left a trial.
    """
    while True:
        trials = study.all_trials()
        if recover(study, elsewhere=False, trials=trials):
            trials = study.all_trials()
        of = slots(trials)
        lost = [t for t in by_slot(trials) if is_lost(t) and of[t.number] < budget]
        if not lost and len(set(of.values())) >= budget:
            if recover(study, trials=trials):  # other hosts' trials, whose workers are silent
                continue
            return None
        template = _template(lost[0] if lost else None)
        trial = create_trial(study._storage, study._study_id, template)
        # Numbers are counted within the transaction: where the next one came back, nobody has
        # made a trial since the look above, and there is nothing to look at again.
        alone = trial.number == len(trials)
        if alone or _is_first_in_slot(study, trial, budget):
            if alone:
                slot = of[lost[0].number] if lost else len(set(of.values()))
                study.learn_slot(trial.number, slot)
            return trial
        _finish_as_lost(study, trial, VOID)


def _template(lost: FrozenTrial | None) -> FrozenTrial:
    attrs = {OWNER: owner()}
    if lost is None:
        return optuna.trial.create_trial(state=TrialState.RUNNING, system_attrs=attrs)
    first = lost.system_attrs.get(RETRY_OF, lost.number)
    # What the sampler noted of the configuration (a generation, a place in a grid) stays true.
    noted = {k: v for k, v in lost.system_attrs.items() if k != LOST}
    return optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=lost.params,
        distributions=lost.distributions,
        system_attrs={**noted, **attrs, RETRY_OF: first},
    )


def _is_first_in_slot(study: SlotStudy, trial: FrozenTrial, budget: int) -> bool:
    trials = study.all_trials()
    of = slots(trials)
    slot = of[trial.number]
    return slot < budget and not any(
        of.get(t.number) == slot and t.number < trial.number and not is_lost(t) for t in trials
    )


def mark_lost(study: SlotStudy, trial: FrozenTrial, reason: str) -> None:
    """Give a running trial's slot back; where it was begun too often, fail it for good.

    Args:
        study: The study.
        trial: A trial in the state RUNNING.
        reason: `CRASHED` or `INTERRUPTED`.
    """
    trials = study.all_trials()
    of = slots(trials)
    earlier = [
        t
        for t in trials
        if of.get(t.number) == of.get(trial.number)
        and t.number != trial.number
        and t.system_attrs.get(LOST) == reason
    ]
    begun = len(earlier) + 1
    try:
        if begun < TRIES[reason] or LOST in trial.system_attrs:
            _finish_as_lost(study, trial, reason)
            return
        cause = "its worker died" if reason == CRASHED else "the run was stopped or killed"
        error = f"given up: {cause} {begun} times while this configuration was training"
        write_trial(
            study._storage, trial._trial_id, user_attrs={"error": error}, state=TrialState.FAIL
        )
    except UpdateFinishedTrialError:
        return  # somebody else has noticed first


def _finish_as_lost(study: SlotStudy, trial: FrozenTrial, reason: str) -> None:
    study._storage.set_trial_system_attr(trial._trial_id, LOST, reason)
    write_trial(study._storage, trial._trial_id, state=TrialState.FAIL)


_RUNS: Counter[tuple[int, str]] = Counter()
"""How many runs are under way, by process (a fork is another one) and study."""
_RUNS_LOCK = threading.Lock()


@contextmanager
def under_way(study: SlotStudy) -> Iterator[None]:
    """A run of a study in this process, which begins with giving back what nobody works on.

    A process that lives on, a notebook's, may have left a trial where an exception found it between
    two steps: where no other run of the process works on the study, its own trials are given back,
    too.
    """
    key = os.getpid(), study.study_name
    with _RUNS_LOCK:
        recover(study, own=not _RUNS[key])
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
    own: bool = False,
    trials: Sequence[FrozenTrial] | None = None,
) -> int:
    """Give back the slots of workers that died: at once on this host, by heartbeat elsewhere.

    Args:
        study: The study.
        elsewhere: Whether to look at the heartbeats of other hosts, too.
        own: Whether nothing of this very process runs, whatever the store says.
        trials: The study's trials, where the caller has just read them.

    Returns:
        How many there were.
    """
    trials = study.all_trials() if trials is None else trials
    running = [t for t in trials if t.state == TrialState.RUNNING]
    stale = stale_trial_ids(study._storage, study._study_id) if running and elsewhere else set()
    found = 0
    for trial in running:
        who = trial.system_attrs.get(OWNER, {})
        dead = True if own and is_mine(who) else is_dead(who)
        if dead or (dead is None and trial._trial_id in stale):
            reason = INTERRUPTED if dead is None or is_mine(who) or is_orphan(who) else CRASHED
            mark_lost(study, trial, reason)
            found += 1
    return found
