"""Fronts and their volume, held against definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bequest.search.pareto import hypervolume, on_front

LOSSES = arrays(float, st.tuples(st.integers(0, 12), st.just(2)), elements=st.integers(0, 6))


def _dominated(row: np.ndarray, rows: np.ndarray) -> bool:
    return bool(((rows <= row).all(1) & (rows < row).any(1)).any())


@given(LOSSES)
def test_the_front_is_what_nothing_dominates(losses: np.ndarray) -> None:
    expected = [not _dominated(row, losses) for row in losses]
    assert on_front(losses).tolist() == expected


@given(LOSSES)
def test_the_volume_counts_the_dominated_cells(losses: np.ndarray) -> None:
    cells = np.array([(x, y) for x in range(5) for y in range(5)], dtype=float)
    covered = [bool((losses <= cell).all(1).any()) for cell in cells]
    assert hypervolume(losses, np.array([5.0, 5.0])) == pytest.approx(sum(covered))
