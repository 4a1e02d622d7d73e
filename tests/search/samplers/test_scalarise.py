"""Several objectives as one."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.search.samplers.scalarise import AUGMENTATION, draw_weights, scalarised


def test_distances_by_hand() -> None:
    """Three trials, two objectives: ranks 0, 1/2, 1 from the best."""
    values = np.array([[3.0, 10.0], [2.0, 30.0], [1.0, 20.0]])
    ranks = np.array([[0, 1], [0.5, 0], [1, 0.5]])
    weights = np.array([0.25, 0.75])
    expected = -((weights * ranks).max(1) + AUGMENTATION * (weights * ranks).sum(1))
    assert scalarised(values, weights) == pytest.approx(expected)
    assert scalarised(values, weights).argmax() == 1


def test_a_scale_does_not_matter_and_ties_share_the_better_rank() -> None:
    values = np.array([[1.0, 5.0], [1.0, 7.0], [0.0, 9.0]])
    weights = np.array([0.6, 0.4])
    scaled = values * np.array([1e9, 1e-9])
    assert scalarised(values, weights) == pytest.approx(scalarised(scaled, weights))
    first = scalarised(np.array([[1.0, 5.0], [1.0, 5.0]]), weights)
    assert first.tolist() == [0, 0]
    assert scalarised(values[:1], weights).tolist() == [0]


def test_the_sum_decides_between_equal_worst_objectives() -> None:
    values = np.array([[0.0, 2.0], [0.0, 1.0], [9.0, 0.0]])
    found = scalarised(values, np.array([0.9, 0.1]))
    assert found[0] > found[1]


def test_weights_are_shares_that_differ_from_draw_to_draw() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw_weights(3, rng) for _ in range(2_000)])
    assert drawn.sum(1) == pytest.approx(np.ones(2_000))
    assert (drawn >= 0).all()
    assert drawn.mean(0) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert drawn.std(0) == pytest.approx([np.sqrt(1 / 18)] * 3, abs=0.02), "uniform on the simplex"
