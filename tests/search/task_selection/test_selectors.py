"""Selectors: whatever they are told, they ask for something sensible; published behaviour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.common.errors import SelectionError, UnknownNameError
from bequest.search.task_selection import SELECTORS, Selector, make_selector
from bequest.search.task_selection.baselines import (
    EquidistantSelector,
    GreedyGapSelector,
    OracleSelector,
)
from bequest.search.task_selection.planning import _raised, plan
from bequest.search.task_selection.published import GPMBTLSelector, MGPMBTLSelector, MMBTLSelector
from bequest.search.task_selection.two_way_selector import TwoWaySelector

LINE = np.arange(21.0)


def mountain(contexts: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Equal training everywhere, a gap of L1."""
    gaps = np.abs(contexts[:, None] - contexts[None]).sum(2)
    drawn = np.random.default_rng(seed).normal(size=gaps.shape)
    return np.asarray(1 - gaps / gaps.max() + noise * drawn)


def grid(points: int, dimensions: int) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(float(points))] * dimensions, indexing="ij")
    return np.stack([a.ravel() for a in axes], axis=1)


def run(selector: Selector, matrix: np.ndarray, budget: int) -> list[float]:
    values = []
    for _ in range(budget):
        index = selector.ask()
        selector.tell(index, matrix[index])
        values.append(selector.value)
    return values


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


# The default selector -----------------------------------------------------------------------------


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


def test_a_plan_is_better_than_one_source_after_another() -> None:
    """Best alone: the middle. Best together: either side of it."""
    gaps = np.abs(LINE[:, None] - LINE)
    assert sorted(plan(20 - gaps, 1e-3, 2)) == [5, 15]
    assert sorted(plan(20 - gaps, 1e-3, 2, start=[0, 10, 20])) == [5, 15]
    assert len(plan(20 - gaps, 1e-3, 50)) == 21


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_what_a_plan_brings_is_what_draws_say(seed: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    means, noise = rng.normal(size=(sources, 1)), rng.gumbel(size=(100_000, sources))
    scale = np.sqrt(6) / np.pi
    draws = means[:, 0] + (noise - np.euler_gamma) * scale
    weights = np.exp(means / scale - np.euler_gamma)
    others = [*range(sources - 1)]
    expected = scale * _raised(weights, others)[-1]
    assert expected == pytest.approx(np.maximum(draws.max(1), 0).mean(), abs=0.03)


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


# The published methods and the baselines ----------------------------------------------------------


def test_m_mbtl_places_facilities() -> None:
    selector = MMBTLSelector(np.arange(9.0))
    assert selector.ask() == 4
    selector.tell(4, np.zeros(9))
    assert selector.ask() in (1, 2, 6, 7)


def test_gp_mbtl_starts_in_the_middle_and_then_serves_who_is_worst() -> None:
    contexts = grid(5, 2)
    selector = GPMBTLSelector(contexts)
    assert tuple(contexts[selector.ask()]) == (2, 2)
    row = np.linspace(1, 0, 25)
    selector.tell(12, row)
    assert selector.ask() == 24


def test_gp_mbtl_fits_slopes_of_either_side() -> None:
    contexts = grid(6, 2)
    difference = contexts[:, None] - contexts[None]
    gap = np.minimum(difference, 0) @ [-2.0, 1.0] + np.maximum(difference, 0) @ [3.0, 3.0]
    selector = GPMBTLSelector(contexts)
    run(selector, 100 - gap, 6)
    left, right = selector.slopes()
    assert left == pytest.approx([2.0, -1.0], abs=1e-6)
    assert right == pytest.approx([-3.0, -3.0], abs=1e-6)


def test_the_switch_sees_mountains() -> None:
    contexts = grid(6, 2)
    plain = MGPMBTLSelector(contexts)
    run(plain, mountain(contexts), 6)
    assert plain.looks_like_a_mountain()
    tilted = MGPMBTLSelector(contexts)
    run(tilted, mountain(contexts) + 2 * contexts.sum(1)[:, None], 6)
    assert not tilted.looks_like_a_mountain()


def test_greedy_cuts_the_largest_gap() -> None:
    selector = GreedyGapSelector(np.linspace(0, 1, 101))
    run(selector, np.zeros((101, 101)), 4)
    assert selector.trained[0] == 50
    assert selector.trained[1:3] == [17, 83]


def test_equidistant_fills_the_budget() -> None:
    selector = EquidistantSelector(np.linspace(0, 1, 101), budget=4)
    run(selector, np.zeros((101, 101)), 4)
    assert np.abs(selector.points[selector.trained, 0] - [0.125, 0.375, 0.625, 0.875]).max() < 0.01


def test_the_oracle_is_greedy_and_says_what_it_gains() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 1, 1], [0.5, 0.5, 0.5]])
    selector = OracleSelector([0.0, 1, 2], matrix=matrix)
    assert run(selector, matrix, 2) == pytest.approx([2 / 3, 1.0])
    assert selector.expected_gain == pytest.approx(1 / 3)
