"""Hyperband on slots: the same brackets whatever numbers the trials have."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from bequest.search.execution.slots import CRASHED, LOST, RETRY_OF, SlotStudy
from bequest.search.pruners.hyperband import SlotHyperbandPruner, is_worth_pruning


def _study(pruner: SlotHyperbandPruner) -> SlotStudy:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="any name", storage=storage)
    return SlotStudy("any name", storage, pruner=pruner)


def _add(study: SlotStudy, last_step: int, **attrs: Any) -> None:
    curve = dict.fromkeys(range(last_step + 1), 0.5)
    study.add_trial(create_trial(value=0.5, intermediate_values=curve, system_attrs=attrs))


def test_a_retry_stays_in_the_bracket_of_its_slot() -> None:
    pruner = SlotHyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)
    study = _study(pruner)
    study.add_trial(create_trial(state=TrialState.FAIL, system_attrs={LOST: CRASHED}))
    _add(study, 1, **{RETRY_OF: 0})
    retry = study.trials[0]
    pruner.prune(study, retry)  # makes the brackets
    assert pruner.bracket_of_trial(study, retry) == pruner.bracket_of(0)


def test_brackets_take_turns_in_proportion_to_their_budgets() -> None:
    pruner = SlotHyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)
    study = _study(pruner)
    _add(study, 5)
    running = create_trial(state=TrialState.RUNNING, intermediate_values={0: 0.1})
    running.number = 0
    pruner.prune(study, running)
    budgets = pruner.bracket_budgets
    counts = [0] * len(budgets)
    for slot in range(2 * sum(budgets)):
        counts[pruner.bracket_of(slot)] += 1
    assert counts == [2 * budget for budget in budgets]
    assert len(budgets) == 4


def test_a_bracket_sees_its_own_trials_alone() -> None:
    pruner = SlotHyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)
    study = _study(pruner)
    for _ in range(40):
        _add(study, 5)
    running = create_trial(state=TrialState.RUNNING, intermediate_values={0: 0.1})
    running.number = 40
    pruner.prune(study, running)
    seen = [
        [trial.number for trial in pruner.bracket_view(study, bracket).trials]
        for bracket in range(len(pruner.bracket_budgets))
    ]
    assert sorted(number for numbers in seen for number in numbers) == [*range(40)]
    assert all(pruner.bracket_of(n) == b for b, numbers in enumerate(seen) for n in numbers)


def test_the_length_of_a_training_is_that_of_the_first_complete_one() -> None:
    pruner = SlotHyperbandPruner(min_resource=1)
    study = _study(pruner)
    assert pruner.resource(study) is None
    _add(study, 8)
    _add(study, 26)
    assert pruner.resource(study) == 9


def test_the_last_step_is_never_pruned() -> None:
    study = _study(SlotHyperbandPruner(min_resource=1))
    _add(study, 5)
    at_the_end = create_trial(state=TrialState.RUNNING, intermediate_values={5: 0.0})
    before = create_trial(state=TrialState.RUNNING, intermediate_values={4: 0.0})
    assert not is_worth_pruning(study, at_the_end)
    assert is_worth_pruning(study, before)
