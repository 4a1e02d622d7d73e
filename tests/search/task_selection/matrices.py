"""Small transfer matrices, and a loop that trains on them, which tests of selectors share."""

from __future__ import annotations

import numpy as np

from bequest.search.task_selection import Selector

LINE = np.arange(21.0)
LINE_41 = np.linspace(0, 5, 41)[:, None]


def mountain(contexts: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Equal training everywhere, a gap of L1."""
    gaps = np.abs(contexts[:, None] - contexts[None]).sum(2)
    drawn = np.random.default_rng(seed).normal(size=gaps.shape)
    return np.asarray(1 - gaps / gaps.max() + noise * drawn)


def grid(points: int, dimensions: int) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(float(points))] * dimensions, indexing="ij")
    return np.stack([a.ravel() for a in axes], axis=1)


def run(selector: Selector, matrix: np.ndarray, budget: int) -> list[float]:
    values = []
    for _ in range(budget):
        index = selector.ask()
        selector.tell(index, matrix[index])
        values.append(selector.value)
    return values
