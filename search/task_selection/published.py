"""The published methods: GP-MBTL, M-MBTL and the switch between them.

Sources: Cho et al., *Model-Based Transfer Learning for Contextual Reinforcement Learning*, NeurIPS
2024 (arXiv 2408.04498); *Structure Detection for Contextual RL* (SD-MBTL, arXiv 2601.08120).
"""

from __future__ import annotations

import math

import numpy as np

from ..surrogates.isotropic import IsotropicProcess
from .selector import Contexts, Costs, Selector

NOISE = 0.1
"""The deviation of a training's noise."""

MOUNTAIN_STEPS = 5
SLOPE = 0.005
"""The given slope of the one-dimensional method, an index of the grid."""


BLOCK = 32
"""Candidates at a time, a dimension after another: the working set stays in the cache, which makes
a step ten times as fast at N = 3,125."""


class MMBTLSelector(Selector):
    """M-MBTL: equal training everywhere and a symmetric gap, so that distance alone counts.

    Each source is the point that lowers the sum of every context's L1 distance to its nearest
    source most.
    """

    def __init__(self, contexts: Contexts, *, costs: Costs = None, seed: int = 0) -> None:
        super().__init__(contexts, costs=costs, seed=seed)
        self._nearest = np.full(self.size, np.inf)

    def _told(self, index: int, row: np.ndarray) -> None:
        self._nearest = np.minimum(self._nearest, self._distances(np.array([index]))[0])

    def _distances(self, sources: np.ndarray) -> np.ndarray:
        gaps = np.zeros((len(sources), self.size))
        for coordinate in self.contexts.T:
            step = coordinate[sources, None] - coordinate
            gaps += np.abs(step, out=step)
        return gaps

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        nearest = self._nearest
        if pending:
            nearest = np.minimum(nearest, self._distances(np.array(pending)).min(0))
        sums = [
            np.minimum(nearest, self._distances(free[start : start + BLOCK])).sum(1)
            for start in range(0, len(free), BLOCK)
        ]
        return int(free[np.concatenate(sums).argmin()])


class GPMBTLSelector(Selector):
    """GP-MBTL: training performance by a Gaussian process, a gap linear in the difference.

    ``mean_j max(mu_i + sqrt(ln(k + 1)) sigma_i - gap(i, j) - v(j), 0)`` is maximised. In one
    dimension the gap has a given slope; in more, slopes for either side of each dimension are
    fitted to all cells observed.

    Contexts that no row has measured do not count. Pending sources count as having their expected
    rows.

    Args:
        contexts: See `Selector`.
        slope: In one dimension, the loss an index of the grid.
        seed: Without effect: nothing is drawn.
    """

    def __init__(
        self, contexts: Contexts, *, slope: float = SLOPE, costs: Costs = None, seed: int = 0
    ) -> None:
        super().__init__(contexts, costs=costs, seed=seed)
        self.slope = slope

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        k = len(self.trained)
        if k == 0:
            far = MMBTLSelector(self.contexts)
            return far._choose(free, pending) if pending else self._middle(free)
        if self.contexts.shape[1] > 1 and k < 3:
            order = np.argsort(np.where(np.isnan(self._served), np.inf, self._served)[free])
            return int(free[order[0]])
        return self._improving(free, pending)

    def _improving(self, free: np.ndarray, pending: list[int]) -> int:
        asked = np.concatenate([free, np.array(pending, dtype=int)])
        means, deviation = self._training(asked)
        hopeful = (means + math.sqrt(math.log(len(self.trained) + 1)) * deviation)[: len(free)]
        left, right = self._sides()
        measured = ~np.isnan(self._served)
        served = self._served[measured]
        for source, mean in zip(pending, means[len(free) :], strict=True):
            expected = mean - self._gap(np.array([source]), left, right)[0, measured]
            served = np.maximum(served, expected)
        best, chosen = -np.inf, int(free[0])
        for start in range(0, len(free), BLOCK):
            part = free[start : start + BLOCK]
            gaps = self._gap(part, left, right)
            above = hopeful[start : start + BLOCK, None] - gaps[:, measured] - served
            gains = np.maximum(above, 0).mean(1)
            if gains.max() > best:
                best, chosen = float(gains.max()), int(part[gains.argmax()])
        return chosen

    def _training(self, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and deviation of ``J[i, i]``."""
        diagonal = np.array([row[i] for i, row in zip(self.trained, self._rows, strict=True)])
        # Where a source was not measured on its own context, its row stands for it.
        diagonal = np.where(np.isnan(diagonal), np.nanmean(self.rows, axis=1), diagonal)
        process = IsotropicProcess(self.contexts[self.trained], diagonal, NOISE**2)
        return process.predict(self.contexts[free])

    def _sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Slopes of J below and above the target, given in one dimension, fitted in more."""
        if self.contexts.shape[1] > 1:
            return self.slopes()
        per_index = self.slope * (self.size - 1) / max(np.ptp(self.contexts), 1e-12)
        return np.array([per_index]), np.array([-per_index])

    def _gap(self, sources: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Expected losses ``[sources, N]``."""
        fitted = np.zeros((len(sources), self.size))
        for coordinate, below, above in zip(self.contexts.T, left, right, strict=True):
            step = coordinate[sources, None] - coordinate
            fitted += below * np.minimum(step, 0)
            fitted += above * np.maximum(step, 0, out=step)
        return -fitted

    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Slopes of J below and above the target, a dimension each, by least squares."""
        difference = self.contexts[self.trained][:, None] - self.contexts[None]
        features = np.concatenate(
            [
                np.ones((*difference.shape[:2], 1)),
                np.minimum(difference, 0),
                np.maximum(difference, 0),
            ],
            axis=2,
        ).reshape(-1, 1 + 2 * difference.shape[2])
        y = self.rows.ravel()
        measured = ~np.isnan(y)
        coefficients = np.linalg.lstsq(features[measured], y[measured], rcond=None)[0]
        left, right = np.split(coefficients[1:], 2)
        return left, right


class MGPMBTLSelector(GPMBTLSelector):
    """M/GP-MBTL: five steps of M-MBTL, then whichever of the two the rows speak for."""

    def __init__(self, contexts: Contexts, *, costs: Costs = None, seed: int = 0) -> None:
        super().__init__(contexts, costs=costs, seed=seed)
        self._mountain = MMBTLSelector(contexts)

    def _told(self, index: int, row: np.ndarray) -> None:
        self._mountain.tell(index, row)

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        if len(self.trained) < MOUNTAIN_STEPS or self.looks_like_a_mountain():
            return self._mountain._choose(free, pending)
        return self._improving(free, pending)

    def looks_like_a_mountain(self) -> bool:
        """Whether training is equally good everywhere and transfer fades on either side."""
        centred = self.rows - np.nanmean(self.rows, axis=0)
        diagonal = centred[np.arange(len(self.trained)), self.trained]
        constant = np.nanstd(diagonal) < np.nanstd(centred, axis=1).mean()
        left, right = self.slopes()
        mountain = (left * right < 0).sum() > len(left) / 2
        return bool(constant and mountain)
