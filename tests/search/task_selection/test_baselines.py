"""The baselines."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.common.errors import SelectionError
from bequest.search.task_selection import make_selector
from bequest.search.task_selection.baselines import (
    EquidistantSelector,
    GreedyGapSelector,
    OracleSelector,
    RandomSelector,
)
from tests.search.proposals import asked, check
from tests.search.task_selection.matrices import LINE, LINE_41, grid, mountain, run


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


def test_random_draws_anew_for_each_step_and_seed() -> None:
    first, again, other = (RandomSelector(LINE, seed=seed) for seed in (1, 1, 2))
    sequences = [run_order(selector) for selector in (first, again, other)]
    assert sequences[0] == sequences[1] != sequences[2]
    counts = np.bincount([RandomSelector(LINE[:4], seed=s).ask() for s in range(400)], minlength=4)
    assert counts.min() > 70


def run_order(selector: RandomSelector) -> list[int]:
    run(selector, mountain(LINE[:, None]), 8)
    return selector.trained


def test_equidistant_fills_a_plane() -> None:
    contexts = grid(9, 2)
    selector = EquidistantSelector(contexts, budget=8, seed=0)
    run(selector, np.zeros((81, 81)), 8)
    points = selector.points[selector.trained]
    nearest = np.abs(selector.points[:, None] - points).sum(2).min(1)
    assert nearest.max() < 0.55
    with pytest.raises(SelectionError, match="a budget of 0 sources"):
        EquidistantSelector(contexts, budget=0)


def test_an_oracle_needs_the_whole_matrix() -> None:
    with pytest.raises(SelectionError, match=r"shape \(2, 2\) for 3 contexts"):
        OracleSelector([0.0, 1, 2], matrix=np.eye(2))


@pytest.mark.parametrize("name", ["random"])
def test_sources_are_those_of_version_0_1(name: str) -> None:
    check(f"{name} grid", asked(make_selector(name, grid(6, 2), seed=2), 8))
    check(f"{name} line", asked(make_selector(name, LINE_41, seed=2), 6))
