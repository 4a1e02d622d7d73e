"""Configurations as vectors of counts, on which linear models and Gaussian kernels make sense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .encoding import choices

if TYPE_CHECKING:
    from .parameter import Config
    from .space import Space

KNOTS = 3
"""A numeric choice is shared out among so many counts: low, middle, high."""


def counts(space: Space, configs: Sequence[Config]) -> np.ndarray:
    """``[n, f]``: the space's own counts, or one count a choice.

    A categorical choice puts a 1 into the column of what was chosen. A numeric one shares a 1 out
    between the two knots that it lies between, so that a linear model of the counts is piecewise
    linear in it. An inactive choice counts nothing. Two configurations that differ in one choice
    are at most 2 apart, squared.
    """
    features = space.features(configs)
    if features is not None:
        return features
    encoding = space.encode(configs)
    columns = []
    for i, p in enumerate(space.parameters):
        values, active = encoding.values[:, i, None], encoding.mask[:, i, None]
        if encoding.categorical[i]:
            options = choices(p.distribution) or ()
            columns.append((values == np.arange(len(options))) & active)
        else:
            distance = np.abs(values * (KNOTS - 1) - np.arange(KNOTS))
            columns.append(np.maximum(1 - distance, 0) * active)
    return np.concatenate(columns, axis=1).astype(np.float64)
