"""Observed rows as the two-way process regresses on them: features of the gap, sums that grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTHS = (0.05, 0.12, 0.3)
"""Of the bells; contexts lie in a unit cube."""

FOLDS = 5
"""Groups of rows, each of which is predicted from the others."""


class Rows:
    """Whole rows, with what a regression needs of them; grows row by row.

    Args:
        points: The contexts, in a unit cube ``[N, d]``.
        targets: The columns that are used ``[T]``.

    Attributes:
        sources: The context of each row ``[k]``.
        values: ``[k, T]``.
        gram, moment: ``X' X`` and ``X' y`` of all rows' features and centred values.
        folds: The same of each group of rows.
    """

    def __init__(self, points: np.ndarray, targets: np.ndarray) -> None:
        self.points, self.targets = points, targets
        self.sources: list[int] = []
        self.values = np.zeros((0, len(targets)))
        self._features: list[np.ndarray] = []
        contexts = points[targets]
        self._linear = contexts - contexts.mean(0)
        self.gram: np.ndarray | float = 0.0
        self.moment: np.ndarray | float = 0.0
        self.folds: list[tuple[np.ndarray | float, np.ndarray | float]] = [(0.0, 0.0)] * FOLDS

    def append(self, source: int, row: np.ndarray) -> None:
        """Add the row ``[T]`` of a source."""
        features = gap_features(self.points[source] - self.points[self.targets])
        centred = np.concatenate([features - features.mean(0), self._linear], axis=1)
        self.sources.append(source)
        self.values = np.concatenate([self.values, row[None]])
        self._features.append(centred)
        gram, moment = centred.T @ centred, centred.T @ (row - row.mean())
        self.gram, self.moment = self.gram + gram, self.moment + moment
        # Their own sums for some groups of rows, so that each can be predicted from the others.
        fold = (len(self.sources) - 1) % FOLDS
        self.folds[fold] = (self.folds[fold][0] + gram, self.folds[fold][1] + moment)

    def copy(self) -> Rows:
        """The same rows, to be added to."""
        other = Rows.__new__(Rows)
        other.__dict__.update(self.__dict__)
        other.sources, other._features = [*self.sources], [*self._features]
        other.folds = [*self.folds]
        return other

    @property
    def features(self) -> np.ndarray:
        """``[k, T, p]``: of the gap, then the targets' contexts; centred in each row."""
        return np.stack(self._features)


def gap_features(difference: np.ndarray) -> np.ndarray:
    """``|D|`` and one-sided bells: ``[n, d (1 + 2 widths)]`` of source minus target ``[n, d]``."""
    parts = [np.abs(difference)]
    for width in WIDTHS:
        bell = np.exp(-0.5 * np.square(difference / width))
        parts += [np.where(difference < 0, bell, 1.0), np.where(difference > 0, bell, 1.0)]
    return np.concatenate(parts, axis=1)


def rows_of(
    points: np.ndarray, targets: np.ndarray, sources: Sequence[int], values: np.ndarray
) -> Rows:
    """`Rows` of values ``[k, T]``."""
    rows = Rows(points, targets)
    for source, row in zip(sources, values, strict=True):
        rows.append(source, row)
    return rows
