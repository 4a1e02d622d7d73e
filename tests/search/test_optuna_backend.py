"""What is built on Optuna's private names does what it says, whichever version is installed."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from bequest.search.optuna_backend import (
    FilteredStudy,
    batched_storage,
    cached_trials,
    forget_cached_trials,
    nondomination_rank,
    study_like,
    trial_id,
)


class EvenStudy(FilteredStudy):
    """Only trials of even numbers can be seen."""

    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if trial.number % 2 == 0]


def _study() -> EvenStudy:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="s", storage=storage)
    study = EvenStudy("s", storage)
    for value in (5.0, 1.0, 3.0, 2.0):
        study.add_trial(create_trial(value=value))
    return study


def test_hidden_trials_are_hidden_but_in_all_trials() -> None:
    study = _study()
    assert [t.number for t in study.trials] == [0, 2]
    assert [t.number for t in cached_trials(study, (TrialState.COMPLETE,))] == [0, 2]
    assert [t.number for t in study.all_trials()] == [0, 1, 2, 3]


def test_cached_trials_are_read_again_when_forgotten() -> None:
    study = _study()
    cached_trials(study, (TrialState.COMPLETE,))
    study.add_trial(create_trial(value=9.0))
    forget_cached_trials(study)
    assert [t.number for t in cached_trials(study, (TrialState.COMPLETE,))] == [0, 2, 4]


def test_the_same_study_as_another_kind() -> None:
    study = _study()
    plain = study_like(FilteredStudy, study)
    assert [t.number for t in plain.trials] == [0, 1, 2, 3]
    assert plain.study_name == "s"
    assert trial_id(plain.trials[1]) == trial_id(study.all_trials()[1])


def test_ranks_count_the_fronts_before() -> None:
    losses = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert nondomination_rank(losses).tolist() == [0, 0, 1, 2]


def test_other_storages_are_not_batched() -> None:
    assert batched_storage(optuna.storages.InMemoryStorage()) is None
