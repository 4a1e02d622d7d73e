"""Leave-one-task-out replay: its counts by hand, and a bank that saves trials."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.common.errors import BankError
from bequest.search.transfer.replay import (
    METHODS,
    ReplayedSearch,
    _Pool,
    good_value,
    leave_one_task_out,
    replayable,
    summarise,
)
from tests.search.transfer_tasks import CONFIGS, GRID, RELATED, additive, bank_of


def test_good_is_the_best_twentieth() -> None:
    values = np.random.default_rng(0).permutation(np.arange(100.0))
    assert good_value(values) == 95.0
    assert good_value(np.arange(10.0)) == 9.0, "one at least"
    assert good_value(np.arange(21.0)) == 19.0, "the share is rounded up"


def test_trials_and_regret_of_a_search_by_hand() -> None:
    values = np.arange(100.0)
    pool = _Pool(bank_of(GRID, [additive(1)], CONFIGS), np.arange(100), values)
    order = [9, 3, 50, 60, 20, 94, 96, 97]
    in_order = pool.replay("t", "random", 8, lambda tried: order[len(tried)])
    assert (in_order.trials, in_order.regret) == (7, pytest.approx((99 - 60) / (99 - 49.5)))
    hopeless = pool.replay("t", "random", 4, lambda tried: len(tried))
    assert hopeless.trials == 5, "none was good: one more than the budget"


def test_only_tasks_with_enough_designs_are_replayed() -> None:
    few = RELATED.values.copy()
    few[0, 19:] = np.nan
    few[1, 20:] = np.nan
    scores = type(RELATED)(GRID, RELATED.tasks, CONFIGS, few, RELATED.origins)
    assert replayable(scores) == [f"task{i}" for i in range(1, 6)]
    with pytest.raises(BankError, match="2 tasks with 20 designs of space 'grid'; 3 are needed"):
        leave_one_task_out(RELATED.only(["task1", "task2"]))
    for nothing in ({"budget": 0}, {"seeds": 0}):
        with pytest.raises(BankError, match="at least 1 of each"):
            leave_one_task_out(RELATED, **nothing)


def test_related_tasks_save_trials() -> None:
    scores = RELATED.only(["task0", "task1", "task2"])
    searches = list(leave_one_task_out(scores, budget=12, seeds=2))
    assert {(s.task, s.method) for s in searches} == {
        (f"task{i}", method) for i in range(3) for method in METHODS
    }
    assert len(searches) == 3 * (1 + 2 + 2)
    mean = summarise(searches)["mean"]
    assert mean["transfer"] < mean["gp"] <= 13
    assert mean["transfer"] < mean["random"]


def test_a_summary_is_the_mean_of_each_task_then_of_all() -> None:
    counts = {"a": {"random": [4, 8], "gp": [3, 3], "transfer": [1]},
              "b": {"random": [2, 4], "gp": [1, 2], "transfer": [5]}}  # fmt: skip
    searches = [
        ReplayedSearch(task, method, trials, 0.0)
        for task, methods in counts.items()
        for method, each in methods.items()
        for trials in each
    ]
    summary = summarise(searches)
    assert summary["tasks"]["a"] == {"random": 6, "gp": 3, "transfer": 1}
    assert summary["mean"] == {"random": 4.5, "gp": 2.25, "transfer": 3}
