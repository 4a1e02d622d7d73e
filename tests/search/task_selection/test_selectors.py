"""Selectors: whatever they are told, they ask for something sensible; published behaviour."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.common.errors import SelectionError, UnknownNameError
from bequest.search.task_selection import SELECTORS, make_selector
from bequest.search.task_selection.baselines import (
    GreedyGapSelector,
)
from bequest.search.task_selection.two_way_selector import TwoWaySelector
from tests.search.task_selection.matrices import LINE, grid, mountain, run


@pytest.mark.parametrize("name", SELECTORS)
class TestEverySelector:
    """What holds for all of them, on a line."""

    def test_it_asks_for_each_context_once(self, name: str) -> None:
        selector = make_selector(name, LINE[:7], seed=3)
        values = run(selector, mountain(LINE[:7, None]), 7)
        assert sorted(selector.trained) == list(range(7))
        assert values == sorted(values), "V never falls"
        with pytest.raises(SelectionError, match="all 7 contexts are trained"):
            selector.ask()

    def test_it_is_a_pure_function_of_what_it_was_told(self, name: str) -> None:
        matrix = mountain(LINE[:, None], noise=0.1)
        first = make_selector(name, LINE, seed=1)
        run(first, matrix, 6)
        again = make_selector(name, LINE, seed=1)
        for index in first.trained:
            again.tell(index, matrix[index])
        assert first.ask() == again.ask()

    def test_one_context(self, name: str) -> None:
        selector = make_selector(name, [3.0])
        assert selector.ask() == 0
        selector.tell(0, [0.5])
        assert selector.value == 0.5

    def test_a_constant_matrix(self, name: str) -> None:
        selector = make_selector(name, LINE)
        assert run(selector, np.full((21, 21), 0.3), 5) == pytest.approx([0.3] * 5)
        assert len(set(selector.trained)) == 5

    def test_duplicate_contexts(self, name: str) -> None:
        selector = make_selector(name, [1.0, 1.0, 2.0, 2.0, 3.0])
        matrix = mountain(np.array([[1.0], [1.0], [2.0], [2.0], [3.0]]))
        run(selector, matrix, 5)
        assert sorted(selector.trained) == [0, 1, 2, 3, 4]

    def test_cells_that_were_not_evaluated(self, name: str) -> None:
        matrix = mountain(LINE[:, None], noise=0.05)
        matrix[np.random.default_rng(0).random(matrix.shape) < 0.6] = np.nan
        selector = make_selector(name, LINE)
        values = run(selector, matrix, 8)
        assert np.isfinite(values).all()
        assert len(set(selector.trained) | selector.failed) == 8

    def test_batches_are_spread(self, name: str) -> None:
        batch = sorted(make_selector(name, LINE).ask_batch(5))
        assert np.diff(batch).max() >= 3
        assert max(batch) - min(batch) >= 10

    def test_a_failed_training_is_not_asked_for_again(self, name: str) -> None:
        selector = make_selector(name, LINE)
        matrix = mountain(LINE[:, None])
        first = selector.ask()
        selector.tell(first, np.full(21, np.nan))
        assert np.isnan(selector.value)
        values = run(selector, matrix, 20)
        assert first not in selector.trained
        assert values[-1] > 0.9

    def test_what_is_being_trained_is_not_asked_for(self, name: str) -> None:
        selector = make_selector(name, LINE)
        run(selector, mountain(LINE[:, None]), 2)
        batch = selector.ask_batch(6)
        assert len(set(batch) | set(selector.trained)) == 8


def test_rows_that_make_no_sense() -> None:
    selector = TwoWaySelector(LINE)
    with pytest.raises(SelectionError, match=r"shape \(20,\).*21 contexts"):
        selector.tell(3, np.zeros(20))
    with pytest.raises(SelectionError, match="infinite"):
        selector.tell(3, np.full(21, np.inf))
    with pytest.raises(SelectionError, match="context 21 of 21"):
        selector.tell(21, np.zeros(21))
    selector.tell(3, np.zeros(21))
    with pytest.raises(SelectionError, match="told before"):
        selector.tell(3, np.zeros(21))


def test_a_selector_serves_those_for_whom_it_was_made() -> None:
    contexts, costs = grid(3, 2), np.arange(1.0, 10.0)
    selector = TwoWaySelector(contexts, costs=costs)
    selector.check_made_for(contexts, None)
    selector.check_made_for(contexts, costs)
    TwoWaySelector(LINE).check_made_for(LINE, None)
    with pytest.raises(SelectionError, match="other contexts"):
        selector.check_made_for(contexts + 1, None)
    with pytest.raises(SelectionError, match="other costs"):
        selector.check_made_for(contexts, costs[::-1])


def test_contexts_that_make_no_sense() -> None:
    with pytest.raises(SelectionError, match="one row for each context"):
        TwoWaySelector([])
    with pytest.raises(SelectionError, match="NaN"):
        TwoWaySelector([1.0, np.nan])
    with pytest.raises(SelectionError, match="positive"):
        TwoWaySelector(LINE, costs=np.zeros(21))
    with pytest.raises(SelectionError, match="does not weigh costs"):
        make_selector("random", LINE, costs=np.ones(21))
    with pytest.raises(SelectionError, match="one dimension"):
        GreedyGapSelector(grid(3, 2))
    with pytest.raises(SelectionError, match="a budget of 0 sources"):
        make_selector("bequest", LINE, budget=0)
    with pytest.raises(UnknownNameError, match="did you mean 'bequest'"):
        make_selector("bequests", LINE)
