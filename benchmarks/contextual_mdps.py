"""Synthetic contextual decision processes with known transfer, as published.

Source: Cho et al., *Structure Detection for Contextual RL* (arXiv 2601.08120):
``J[i, j] = 500 - (min(D, 0).left + max(D, 0).right) + f(x_i) + g(x_j) + noise``, ``D = x_i - x_j``.
Returns are normalised by the least and the largest cell over all seeds of a configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

PEAK = 500.0
SYMMETRIC = -3.0


@dataclass(frozen=True)
class Configuration:
    """One family of synthetic processes on a grid.

    Attributes:
        name: As the published table calls it.
        shape: Points a dimension.
        left, right: The slopes of the generalisation gap where the source lies below and above the
            target, a dimension each.
        training, difficulty: The weights of f (how well a source is learned) and g (how easy a
            target is), a dimension each.
        noise: The deviation of a cell.
        all_seeds: The seeds over which returns are normalised and the oracle is taken.
    """

    name: str
    shape: tuple[int, ...]
    left: tuple[float, ...]
    right: tuple[float, ...]
    training: tuple[float, ...]
    difficulty: tuple[float, ...]
    noise: float
    all_seeds: int

    @property
    def size(self) -> int:
        """How many contexts there are."""
        return int(np.prod(self.shape))

    @cached_property
    def contexts(self) -> np.ndarray:
        """``[N, d]``, whole numbers, the last dimension runs fastest."""
        axes = [np.arange(n) for n in self.shape]
        grid = np.meshgrid(*axes, indexing="ij")
        return np.stack([axis.ravel() for axis in grid], axis=1).astype(float)

    @cached_property
    def signal(self) -> np.ndarray:
        """The matrix without noise ``[N, N]``; rows are sources."""
        x = self.contexts
        gap = np.zeros((self.size, self.size), dtype=self._dtype)
        for d, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            difference = (x[:, None, d] - x[None, :, d]).astype(self._dtype)
            gap += np.where(difference < 0, left * difference, right * difference)
        gap *= -1
        gap += PEAK
        gap += (x @ np.array(self.training)).astype(self._dtype)[:, None]
        gap += (x @ np.array(self.difficulty)).astype(self._dtype)[None, :]
        return gap

    @property
    def _dtype(self) -> type:
        return np.float32 if self.size > 5_000 else np.float64

    def raw(self, seed: int) -> np.ndarray:
        """One draw, before it is normalised ``[N, N]``."""
        if self.noise == 0:
            return self.signal
        np.random.seed(seed)  # noqa: NPY002  the published stream
        noise = np.random.normal(size=(self.size, self.size))  # noqa: NPY002
        noise *= self.noise
        noise += self.signal
        return noise.astype(self._dtype, copy=False)

    @cached_property
    def range(self) -> tuple[float, float]:
        """The least and the largest cell over all seeds."""
        ends = [(m.min(), m.max()) for m in map(self.raw, range(self.all_seeds))]
        return float(min(low for low, _ in ends)), float(max(high for _, high in ends))

    def matrix(self, seed: int) -> np.ndarray:
        """One draw, normalised ``[N, N]``: row i is what training on i gives on every context."""
        low, high = self.range
        drawn = self.raw(seed)
        return (drawn - low) / (high - low)

    def oracle(self, budget: int) -> np.ndarray:
        """V after 1 to ``budget`` sources of the one sequence that is best on average over seeds.

        Greedy: each source is the one that raises the mean over all seeds most.
        """
        seeds = 1 if self.noise == 0 else self.all_seeds
        drawn = [self.matrix(s).astype(np.float32, copy=False) for s in range(seeds)]
        served = np.full((seeds, self.size), -np.inf, dtype=np.float32)
        values = []
        for _ in range(budget):
            total = np.zeros(self.size)
            for seed, matrix in enumerate(drawn):
                for start in range(0, self.size, 512):
                    rows = np.maximum(matrix[start : start + 512], served[seed])
                    total[start : start + 512] += rows.mean(1, dtype=np.float64)
            chosen = int(total.argmax())
            for seed, matrix in enumerate(drawn):
                np.maximum(served[seed], matrix[chosen], out=served[seed])
            values.append(total[chosen] / seeds)
        return np.array(values)


def configurations(dimensions: int, noise: float) -> list[Configuration]:
    """The published configurations with that many dimensions: 1, 3, 5 or 7."""
    return [*_MAKERS[dimensions](noise)]


def _cubes(dimensions: int, points: int, noise: float) -> list[Configuration]:
    """f, g and gap in all combinations; in one dimension nothing of the kind was published."""
    found = []
    right = (3.0,) * dimensions
    gaps = {"L1": (SYMMETRIC,) * dimensions, "non-distance": (1.0, 1.0, -3.0)[-dimensions:]}
    if dimensions == 1:
        gaps["non-distance"] = (1.0,)
    for f in (0.0, 4.0):
        for g in (0.0, 3.0):
            for gap, left in gaps.items():
                name = f"{'lin' if f else '0'}, {'lin' if g else '0'}, {gap}"
                training, difficulty = (f,) * dimensions, (g,) * dimensions
                shape = (points,) * dimensions
                found.append(
                    Configuration(name, shape, left, right, training, difficulty, noise, 100)
                )
    return found


def _high(
    dimensions: int, points: int, lefts: Sequence[Sequence[float]], f: Sequence[float], noise: float
) -> list[Configuration]:
    found = []
    right = (3.0,) * dimensions
    for left in lefts:
        gap = "L1" if all(v == SYMMETRIC for v in left) else f"non-distance {list(left).count(1)}"
        for training in f:
            for g in (0.0, 2.0):
                name = f"{'lin' if training else '0'}, {'lin' if g else '0'}, {gap}"
                found.append(
                    Configuration(
                        name,
                        (points,) * dimensions,
                        tuple(left),
                        right,
                        (training,) * dimensions,
                        (g,) * dimensions,
                        noise,
                        5,
                    )
                )
    return found


_MAKERS = {
    1: lambda noise: _cubes(1, 100, noise),
    3: lambda noise: _cubes(3, 8, noise),
    5: lambda noise: _high(
        5,
        5,
        [(-3, -3, -3, -3, -3), (1, 1, 1, -3, -3), (1, 1, 1, 1, -3)],
        (0.0, 2.0),
        noise,
    ),
    7: lambda noise: _high(7, 4, [(-3,) * 7, (1, 1, 1, 1, 1, -3, -3)], (0.0,), noise),
}
