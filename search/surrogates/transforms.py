"""How a task's values are seen: its scale and its outliers say nothing to other tasks."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm, rankdata
from torch import Tensor


def gaussianised(values: np.ndarray) -> np.ndarray:
    """Ranks as standard normal quantiles; NaN stays NaN."""
    found = np.full(len(values), np.nan)
    known = ~np.isnan(values)
    if known.any():
        places = (rankdata(values[known]) - 0.5) / known.sum()
        found[known] = norm.ppf(places)
    return found


def warp(values: np.ndarray) -> Tensor:
    """Standardised values; what is far below the median is drawn up, for it matters little how bad.

    A few failed trainings would otherwise set the scale for all.

    Args:
        values: ``[n]``, higher is better.
    """
    if len(values) >= 4:
        median, high = np.quantile(values, [0.5, 0.9])
        if high > median:
            values = np.maximum(values, median - 2.5 * (high - median))
    # Scaled first: the square of an enormous value is infinite.
    size = np.abs(values).max()
    values = values / (size if size > 0 else 1.0)
    deviation = values.std()
    return torch.from_numpy((values - values.mean()) / (deviation if deviation > 1e-13 else 1.0))
