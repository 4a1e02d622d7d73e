"""Designs as earlier tasks, the *source tasks*, see them: scores, predictions, counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .kernels import gaussian, squared_distances

RIDGE = 10.0
"""Penalty of the tasks' linear models; scores have unit variance."""

ALIKE = 0.7
"""Length scale of the Gaussian kernel on scores, for the root mean square over the tasks."""

KERNELS, TRANSFERRED = 6, 4
"""The number of kernels; so many, the first, know the source tasks' scores, the others do not."""


class Views:
    """Designs as the source tasks see them.

    Attributes:
        mean: The tasks' mean score, standardised ``[n]``.
        scores: Each task's score, or its model's prediction where it has none ``[n, tasks]``.
        predictions: Each task's model's prediction ``[n, tasks]``.
        effects: Counts, scaled by the spread of their effects between the tasks ``[n, f]``.
        counts: Counts ``[n, f]``.
    """

    def __init__(
        self, mean: Tensor, scores: Tensor, predictions: Tensor, effects: Tensor, counts: Tensor
    ) -> None:
        self.mean = mean
        self.scores = scores
        self.predictions = predictions
        self.effects = effects
        self.counts = counts

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, rows: slice | Sequence[int]) -> Views:
        return Views(*(part[rows] for part in self._parts))

    def joined(self, other: Views) -> Views:
        """These designs, then the others."""
        return Views(*(torch.cat(pair) for pair in zip(self._parts, other._parts, strict=True)))

    def kernels(self, other: Views, scales: Sequence[float]) -> Tensor:
        """The six kernels between these designs and others (see `TransferPrior`): ``[6, n, m]``.

        Args:
            other: ``[m]`` designs.
            scales: Length scales of the two Gaussian kernels on counts.
        """
        tasks = max(self.scores.shape[1], 1)
        linear = [
            self.scores @ other.scores.mT / tasks,
            self.predictions @ other.predictions.mT / tasks,
            self.effects @ other.effects.mT,
        ]
        alike = gaussian(squared_distances(self._believed, other._believed) / tasks, ALIKE)
        distances = squared_distances(self.counts, other.counts)
        return torch.stack([*linear, alike, *(gaussian(distances, scale) for scale in scales)])

    def diagonals(self) -> Tensor:
        """The six kernels of each design with itself: ``[6, n]``."""
        tasks = max(self.scores.shape[1], 1)
        ones = torch.ones(len(self), dtype=self.mean.dtype)
        squares = [self.scores.square().sum(1) / tasks, self.predictions.square().sum(1) / tasks]
        return torch.stack([*squares, self.effects.square().sum(1), ones, ones, ones])

    @property
    def _believed(self) -> Tensor:
        """Half score, half prediction: a score less part of its noise ``[n, tasks]``."""
        return (self.scores + self.predictions) / 2

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return self.mean, self.scores, self.predictions, self.effects, self.counts


class SourceModels:
    """The source tasks' linear models, and how much each task counts.

    Args:
        z: Scores as Gaussian ranks ``[tasks, n]``; NaN where a task has none.
        x: The designs' counts ``[n, f]``.
        effects: The models' coefficients ``[tasks, f + 1]`` (see `effects_of`).
        relevance: How much each task matters ``[tasks]``.

    Attributes:
        shares: The tasks' weights in the mean; they add up to 1 ``[tasks]``.
        roots: The factors of the tasks' scores in `Views` ``[tasks]``.
        size: The deviation of the mean score, by which it is standardised.
    """

    def __init__(
        self, z: np.ndarray, x: np.ndarray, effects: np.ndarray, relevance: np.ndarray
    ) -> None:
        self.effects = effects
        self.shares = relevance / relevance.sum()
        self.roots = np.sqrt(self.shares * len(relevance))
        variances = effects[:, :-1].var(0) + 1e-4
        self.centre = x.mean(0)
        scaled = (x - self.centre) * np.sqrt(variances)
        size = np.sqrt(np.square(scaled).sum(1).mean())
        self.spread = np.sqrt(variances) / (size if size > 0 else 1.0)
        scores, _ = self._completed(x, z)
        deviation = (self.shares @ scores).std()
        self.size = deviation if deviation > 0 else 1.0

    def _completed(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores without gaps, and the models' predictions: two ``[tasks, n]``."""
        predictions = self.effects[:, :-1] @ x.T + self.effects[:, -1:]
        return np.where(np.isnan(z), predictions, z), predictions

    def views(self, x: np.ndarray, z: np.ndarray) -> Views:
        """Designs with counts ``x [n, f]`` and the tasks' scores ``z [tasks, n]`` of them."""
        scores, predictions = self._completed(x, z)
        parts = (
            self.shares @ scores / self.size,
            (scores * self.roots[:, None]).T,
            (predictions * self.roots[:, None]).T,
            (x - self.centre) * self.spread,
            x,
        )
        return Views(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def effects_of(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Ridge regression of scores on counts; the last entry is the intercept: ``[f + 1]``.

    Args:
        x: Counts ``[n, f]``.
        z: Scores ``[n]``; NaN is left out.
    """
    scored = ~np.isnan(z)
    rows = np.c_[x[scored], np.ones(scored.sum())]
    gram = rows.T @ rows + RIDGE * np.eye(rows.shape[1])
    coefficients: np.ndarray = np.linalg.solve(gram, rows.T @ z[scored])
    return coefficients
