"""Baselines of selectors: chance, even spacing, and an oracle that knows every row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...common.errors import SelectionError
from .planning import even_places
from .selector import Contexts, Costs, Selector


class RandomSelector(Selector):
    """Any context, without replacement."""

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        rng = np.random.default_rng([self.seed, len(self.trained), len(pending)])
        return int(rng.choice(free))


class EquidistantSelector(Selector):
    """The contexts nearest to evenly spread points, for a budget that is known beforehand.

    In one dimension the middles of ``budget`` equal intervals; in more a Sobol sequence.

    Args:
        contexts: See `Selector`.
        budget: How many sources there will be.
        seed: Scrambles the sequence in two and more dimensions.
    """

    def __init__(self, contexts: Contexts, *, budget: int, seed: int = 0) -> None:
        super().__init__(contexts, seed=seed)
        if budget < 1:
            raise SelectionError(f"a budget of {budget} sources: give at least 1")
        dimensions = self.points.shape[1]
        if dimensions == 1:
            self._goals = even_places(budget)[:, None]
        else:
            from scipy.stats.qmc import Sobol

            exponent = int(np.ceil(np.log2(max(budget, 2))))
            self._goals = Sobol(dimensions, seed=seed).random_base2(exponent)[:budget]

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        goal = self._goals[(len(self.trained) + len(pending)) % len(self._goals)]
        return int(free[np.square(self.points[free] - goal).sum(1).argmin()])


class GreedyGapSelector(Selector):
    """One dimension: the middle, then always into the largest gap.

    A gap at the edge is cut a third of its length from the edge, one between sources in its middle.

    Raises:
        SelectionError: The contexts have more than one dimension.
    """

    def __init__(self, contexts: Contexts, *, costs: Costs = None, seed: int = 0) -> None:
        super().__init__(contexts, costs=costs, seed=seed)
        if self.points.shape[1] != 1:
            raise SelectionError("the greedy gap selector works in one dimension only")

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        taken = np.sort(self.points[[*self.trained, *pending], 0])
        if not len(taken):
            return self._middle(free)
        edges = np.concatenate([[0.0], taken, [1.0]])
        widest = int(np.diff(edges).argmax())
        a, b = edges[widest], edges[widest + 1]
        if widest == 0:
            goal = (2 * a + b) / 3
        elif widest == len(taken):
            goal = (a + 2 * b) / 3
        else:
            goal = (a + b) / 2
        return int(free[np.abs(self.points[free, 0] - goal).argmin()])


class OracleSelector(Selector):
    """Takes the source that raises V most, from the whole matrix: a bound, of no use in practice.

    Args:
        contexts: See `Selector`.
        matrix: Every return ``[N, N]``.
    """

    def __init__(
        self, contexts: Contexts, *, matrix: np.ndarray | Sequence[np.ndarray], seed: int = 0
    ) -> None:
        super().__init__(contexts, seed=seed)
        self.matrix = np.asarray(matrix, dtype=float)
        if self.matrix.shape != (self.size, self.size):
            raise SelectionError(f"a matrix of shape {self.matrix.shape} for {self.size} contexts")

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        served = np.fmax.reduce(self.matrix[pending], axis=0, initial=np.nan)
        served = np.fmax(served, self._served)
        gains = np.fmax(self.matrix[free], served).mean(1)
        best = int(gains.argmax())
        self.expected_gain = float(gains[best] - np.nanmean(served)) if self.trained else np.nan
        return int(free[best])
