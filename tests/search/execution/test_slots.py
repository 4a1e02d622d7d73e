"""Slots, derived from the stored trials alone."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from bequest.search.execution.slots import (
    CRASHED,
    INTERRUPTED,
    LOST,
    RETRY_OF,
    VOID,
    SlotStudy,
    by_slot,
    slots,
)


def _trials(*attrs: dict[str, Any]) -> list[FrozenTrial]:
    made = []
    for number, attr in enumerate(attrs):
        trial = create_trial(state=TrialState.FAIL, system_attrs=attr)
        trial.number = number
        made.append(trial)
    return made


def test_fresh_trials_take_the_next_slot() -> None:
    assert slots(_trials({}, {}, {})) == {0: 0, 1: 1, 2: 2}


def test_a_retry_takes_the_slot_of_what_it_replaces() -> None:
    trials = _trials({}, {LOST: CRASHED}, {RETRY_OF: 1, LOST: INTERRUPTED}, {RETRY_OF: 1}, {})
    assert slots(trials) == {0: 0, 1: 1, 2: 1, 3: 1, 4: 2}
    assert [t.number for t in by_slot(trials)] == [0, 3, 4]


def test_void_trials_have_no_slot() -> None:
    trials = _trials({}, {LOST: VOID}, {}, {RETRY_OF: 0, LOST: VOID})
    assert slots(trials) == {0: 0, 2: 1}
    assert [t.number for t in by_slot(trials)] == [0, 2]


def test_a_slot_whose_trial_was_lost_shows_the_lost_one() -> None:
    assert [t.number for t in by_slot(_trials({}, {LOST: CRASHED}))] == [0, 1]


def test_lost_trials_are_invisible_in_the_study() -> None:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="s", storage=storage)
    study = SlotStudy("s", storage)
    study.add_trial(create_trial(state=TrialState.FAIL, system_attrs={LOST: CRASHED}))
    study.add_trial(create_trial(value=1.0, system_attrs={RETRY_OF: 0}))
    assert [t.number for t in study.trials] == [1]
    assert study.best_trial.number == 1
    assert study.slot_of(study.best_trial) == 0
    assert len(study.all_trials()) == 2
