"""The default selector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.search.task_selection import make_selector
from bequest.search.task_selection.baselines import (
    EquidistantSelector,
    OracleSelector,
)
from bequest.search.task_selection.two_way_selector import TwoWaySelector
from tests.search.proposals import asked, check
from tests.search.task_selection.matrices import LINE, LINE_41, grid, mountain, run


def test_it_finds_where_training_works_best() -> None:
    """A linear training performance puts all weight on one end; one step tells which."""
    contexts = grid(8, 2)
    training = contexts @ np.array([4.0, -4.0])
    matrix = mountain(contexts) + training[:, None] / 20
    selector = TwoWaySelector(contexts)
    run(selector, matrix, 8)
    best = contexts[training.argmax()]
    assert np.abs(contexts[selector.trained] - best).sum(1).min() <= 1


def test_it_comes_close_to_an_oracle() -> None:
    contexts = grid(8, 2)
    matrix = mountain(contexts, noise=0.02)
    own = run(TwoWaySelector(contexts), matrix, 10)
    oracle = run(OracleSelector(contexts, matrix=matrix), matrix, 10)
    chance = np.mean(
        [run(make_selector("random", contexts, seed=s), matrix, 10) for s in range(10)], axis=0
    )
    assert own[-1] > 0.7 * oracle[-1] + 0.3 * chance[-1]


def test_it_learns_a_gap_that_is_no_line() -> None:
    """Narrow bells: one slope would put every source at an end or nowhere in particular."""
    contexts = np.linspace(0, 1, 41)
    matrix = np.exp(-0.5 * ((contexts[:, None] - contexts) / 0.06) ** 2)
    own = run(TwoWaySelector(contexts), matrix, 8)
    oracle = run(OracleSelector(contexts, matrix=matrix), matrix, 8)
    assert own[-1] > 0.97 * oracle[-1]


def test_dear_contexts_are_left_alone() -> None:
    costs = np.where(LINE > 10, 100.0, 1.0)
    selector = TwoWaySelector(LINE, costs=costs)
    run(selector, mountain(LINE[:, None], noise=0.01), 6)
    assert sum(LINE[selector.trained[1:]] > 10) <= 1


def test_the_expected_gain_falls_to_nothing() -> None:
    matrix = mountain(LINE[:, None])
    selector = TwoWaySelector(LINE)
    gains = []
    for _ in range(20):
        index = selector.ask()
        gains.append(selector.expected_gain)
        selector.tell(index, matrix[index])
    assert gains[1] > 0.01
    assert gains[-1] == pytest.approx(0.05 / 21, rel=0.1), "two contexts are left, a step away"


def test_a_batch_is_spread() -> None:
    contexts = np.linspace(0, 1, 101)
    selector = TwoWaySelector(contexts)
    run(selector, mountain(contexts[:, None]), 3)
    batch = np.sort(contexts[selector.ask_batch(4)])
    assert np.diff(batch).min() > 0.02


def test_a_budget_that_is_known_is_planned_for() -> None:
    """On a line where all train equally well, no one beats the middles of equal parts."""
    contexts = np.linspace(0, 1, 101)
    matrix = mountain(contexts[:, None], noise=0.01)
    for budget in (2, 4, 7):
        told = run(TwoWaySelector(contexts, budget=budget), matrix, budget)
        even = run(EquidistantSelector(contexts, budget=budget), matrix, budget)
        anytime = run(TwoWaySelector(contexts), matrix, budget)
        assert told[-1] == pytest.approx(even[-1], abs=2e-3)
        assert told[-1] > anytime[-1] - 1e-3
    assert run(TwoWaySelector(contexts, budget=4), matrix, 4)[-1] > anytime[3] + 5e-3


def test_a_plan_is_given_up_where_rows_speak_against_it() -> None:
    """Whoever lies further right trains better, and serves all: even places are for nothing."""
    matrix = mountain(LINE[:, None]) + 0.1 * LINE[:, None]
    selector = TwoWaySelector(LINE, budget=5)
    run(selector, matrix, 5)
    assert sum(LINE[selector.trained] > 15) >= 3


def test_expectations_that_are_not_met_are_given_up() -> None:
    """Rows that differ by luck alone: what no model can tell apart is covered."""
    contexts = np.linspace(0, 1, 101)
    luck = np.random.default_rng(0).normal(size=(101, 1))
    matrix = np.minimum(1, 0.95 + 0.2 * luck + np.zeros(101))
    selector = TwoWaySelector(contexts)
    run(selector, matrix, 20)
    assert np.diff(np.sort(contexts[selector.trained])).max() < 0.15


def test_a_batch_without_rows_is_planned_too() -> None:
    assert sorted(TwoWaySelector(LINE, budget=3).ask_batch(3)) == [3, 10, 17]


def test_missing_cells_are_filled_sensibly() -> None:
    matrix = mountain(LINE[:, None])
    selector = TwoWaySelector(LINE)
    for index in (10, 3, 17):
        row = matrix[index].copy()
        row[::3] = np.nan
        selector.tell(index, row)
    filled = selector._rows_with([]).values
    assert np.abs(filled - matrix[[10, 3, 17]][:, selector._targets]).max() < 0.08


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_units_of_the_return_do_not_matter(seed: int, shift: float, scale: float) -> None:
    matrix = mountain(LINE[:, None], noise=0.05, seed=seed)
    plain, moved = TwoWaySelector(LINE), TwoWaySelector(LINE)
    for index in (10, 4):
        plain.tell(index, matrix[index])
        moved.tell(index, scale * matrix[index] + shift)
    assert plain.ask() == moved.ask()
    assert moved.expected_gain == pytest.approx(scale * plain.expected_gain, rel=0.02)


@pytest.mark.parametrize("name", ["bequest"])
def test_sources_are_those_of_version_0_1(name: str) -> None:
    check(f"{name} grid", asked(make_selector(name, grid(6, 2), seed=2), 8))
    check(f"{name} line", asked(make_selector(name, LINE_41, seed=2), 6))


def test_a_plan_is_that_of_version_0_1() -> None:
    check("bequest planned", asked(make_selector("bequest", LINE_41, budget=9, seed=2), 6))
