"""Pareto fronts: which points nothing dominates, and the volume that a front dominates."""

from __future__ import annotations

import numpy as np

from .optuna_backend import dominated_volume, nondomination_rank


def on_front(losses: np.ndarray) -> np.ndarray:
    """Which rows of ``[n, k]`` (lower is better) no other row dominates: ``[n]`` bool."""
    if not len(losses):
        return np.zeros(0, dtype=bool)
    first: np.ndarray = nondomination_rank(losses, n_below=1) == 0
    return first


def hypervolume(losses: np.ndarray, reference: np.ndarray) -> float:
    """The volume that rows ``[n, k]`` dominate, up to a reference ``[k]``; lower is better."""
    inside = losses[(losses < reference).all(1)]
    return dominated_volume(inside, reference) if len(inside) else 0.0
