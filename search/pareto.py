"""What nothing else beats in everything, and how much it beats."""

from __future__ import annotations

import numpy as np
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank


def on_front(losses: np.ndarray) -> np.ndarray:
    """Which rows of ``[n, k]`` (lower is better) no other row dominates: ``[n]`` bool."""
    if not len(losses):
        return np.zeros(0, dtype=bool)
    return np.asarray(_fast_non_domination_rank(losses, n_below=1) == 0)


def hypervolume(losses: np.ndarray, reference: np.ndarray) -> float:
    """The volume that rows ``[n, k]`` dominate, up to a reference ``[k]``; lower is better."""
    inside = losses[(losses < reference).all(1)]
    return float(compute_hypervolume(inside, reference)) if len(inside) else 0.0
