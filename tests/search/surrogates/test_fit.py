"""The one search for settings: it minimises, keeps to bounds and steps, survives NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.search.surrogates.fit import minimise

START, BOUNDS = np.array([3.0, -2.0]), [(-5.0, 5.0), (-5.0, 5.0)]


def valley(point: torch.Tensor) -> torch.Tensor:
    """Rosenbrock's: the least value is at (1, 1)."""
    return (1 - point[0]) ** 2 + 100 * (point[1] - point[0] ** 2) ** 2


def test_it_finds_the_smallest() -> None:
    assert minimise(valley, START, BOUNDS, 200) == pytest.approx([1, 1], abs=1e-3)


def test_it_keeps_to_its_bounds() -> None:
    found = minimise(valley, START, [(2.0, 5.0), (-5.0, 5.0)], 200)
    assert found == pytest.approx([2, 4], abs=1e-3)


def test_it_stops_after_its_steps() -> None:
    values = [float(valley(torch.tensor(minimise(valley, START, BOUNDS, n)))) for n in (1, 5, 200)]
    assert values[0] > 1.5 * values[1] > values[2]


def test_numbers_that_are_not_finite_give_the_start() -> None:
    found = minimise(lambda point: point.sum() * torch.nan, START, BOUNDS, 10)
    assert found.tolist() == START.tolist()


def test_it_has_gradients_where_the_caller_has_none() -> None:
    with torch.no_grad():
        assert minimise(valley, START, BOUNDS, 200) == pytest.approx([1, 1], abs=1e-3)
