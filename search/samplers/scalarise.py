"""Several objectives as one, with other weights for each proposal, so that they cover the front.

Source: Knowles, *ParEGO*, IEEE Transactions on Evolutionary Computation 2006; on ranks instead of
values, so that a cost in bytes needs no scale.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

AUGMENTATION = 0.05
"""The weight of the sum beside the largest term, which decides between equal largest terms."""


def draw_weights(count: int, rng: np.random.Generator) -> np.ndarray:
    """Weights of ``count`` objectives, uniform on those that add up to 1."""
    return rng.dirichlet(np.ones(count))


def scalarised(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Augmented Chebyshev distances from the best of each objective.

    Args:
        values: ``[n, k]``, higher is better.
        weights: ``[k]``.

    Returns:
        ``[n]``, higher is better, at most 0.
    """
    worse = (rankdata(-values, axis=0, method="min") - 1) / max(len(values) - 1, 1)
    weighted = weights * worse
    distances: np.ndarray = -(weighted.max(axis=1) + AUGMENTATION * weighted.sum(axis=1))
    return distances
