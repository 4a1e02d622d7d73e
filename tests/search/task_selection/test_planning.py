"""Sources that are planned together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.search.task_selection.planning import _raised, covering, even_places, plan
from tests.search.task_selection.matrices import LINE, grid


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


def test_even_places_are_the_middles_of_equal_parts() -> None:
    assert even_places(1).tolist() == [0.5]
    assert even_places(4) == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_covering_is_the_distance_that_a_candidate_saves() -> None:
    points, taken = LINE[:, None] / 20, np.array([[0.0]])
    nearer = covering(points, taken, points)
    assert nearer[0] == 0
    by_hand = sum(max(0, t - abs(t - 0.75)) for t in points[:, 0])
    assert nearer[15] == pytest.approx(by_hand)
    plane = grid(3, 2) / 2
    saved = covering(plane[[8]], plane[[0]], plane)
    distances = plane.sum(1), np.abs(plane - 1).sum(1)
    assert saved[0] == pytest.approx(np.maximum(distances[0] - distances[1], 0).sum())


@pytest.mark.parametrize("deviation", [0.3, 2.0])
def test_an_exchange_finds_the_best_pair_of_all(deviation: float) -> None:
    rng = np.random.default_rng(3)
    ahead = rng.normal(size=(9, 12))
    temperature = np.sqrt(6) / np.pi * deviation
    weights = np.exp((ahead / temperature - np.euler_gamma).clip(-300, 300))
    worth = {(i, j): _raised(weights, [i])[j] for i in range(9) for j in range(9) if i != j}
    found = tuple(plan(ahead, deviation, 2))
    assert worth[found] >= (1 - 1e-3) * max(worth.values())


def test_noise_makes_a_plan_gather_where_most_is_expected() -> None:
    """With much noise several looks at the same good place are worth more than a bad place."""
    ahead = np.array([[1.0, 0.9], [0.95, 0.9], [0.0, 1.2]])
    assert sorted(plan(ahead, 1e-3, 2)) == [0, 2]
    assert sorted(plan(ahead, 3.0, 2)) == [0, 1]
