"""Contexts as a space: which of many related tasks to train on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.distributions import FloatDistribution

from .parameter import Parameter
from .space import Space


def contexts_space(family: str, contexts: np.ndarray, dimensions: Sequence[str]) -> Space:
    """The box in which a family's contexts ``[N, d]`` lie, a parameter for each dimension."""
    parameters = [
        Parameter(name, FloatDistribution(float(values.min()), float(values.max())))
        for name, values in zip(dimensions, np.asarray(contexts, dtype=float).T, strict=True)
    ]
    return Space(f"contexts-{family}", parameters)
