"""Rows: features of the gap, and sums that grow with each row."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.search.surrogates.rows import FOLDS, WIDTHS, gap_features, rows_of

POINTS = np.random.default_rng(0).random((7, 2))
VALUES = np.random.default_rng(1).normal(size=(6, 4))
SOURCES, TARGETS = [5, 0, 3, 1, 2, 6], np.array([6, 4, 1, 0])


def test_features_of_a_gap() -> None:
    features = gap_features(np.array([[0.0, 0.1], [-0.2, 0.0]]))
    assert features.shape == (2, 2 * (1 + 2 * len(WIDTHS)))
    assert features[0, :2].tolist() == [0, 0.1]
    bell = np.exp(-0.5 * (0.1 / WIDTHS[0]) ** 2)
    assert features[0, 2:6] == pytest.approx([1, 1, 1, bell]), "below, then above the target"
    bell = np.exp(-0.5 * (0.2 / WIDTHS[-1]) ** 2)
    assert features[1, -4:] == pytest.approx([bell, 1, 1, 1])


def test_sums_are_those_of_all_rows_and_of_each_group() -> None:
    rows = rows_of(POINTS, TARGETS, SOURCES, VALUES)
    x, y = rows.features, VALUES - VALUES.mean(1, keepdims=True)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.gram, np.einsum("kti,ktj->ij", x, x), atol=1e-12)
    np.testing.assert_allclose(rows.moment, np.einsum("kti,kt->i", x, y), atol=1e-12)
    for fold in range(FOLDS):
        part = slice(fold, None, FOLDS)
        np.testing.assert_allclose(
            rows.folds[fold][0], np.einsum("kti,ktj->ij", x[part], x[part]), atol=1e-12
        )
        np.testing.assert_allclose(
            rows.folds[fold][1], np.einsum("kti,kt->i", x[part], y[part]), atol=1e-12
        )


def test_a_copy_grows_alone() -> None:
    rows = rows_of(POINTS, TARGETS, SOURCES[:2], VALUES[:2])
    gram = np.array(rows.gram)
    more = rows.copy()
    more.append(3, VALUES[2])
    assert (len(rows.values), len(more.values)) == (2, 3)
    assert (len(rows.features), len(more.features)) == (2, 3)
    np.testing.assert_array_equal(rows.gram, gram)
    assert isinstance(rows.folds[2][0], float)
