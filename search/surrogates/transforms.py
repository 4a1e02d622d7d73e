"""Values on one scale, whatever the task's own scale and outliers are."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm, rankdata
from torch import Tensor


def gaussianised(values: np.ndarray) -> np.ndarray:
    """Ranks as standard normal quantiles; NaN stays NaN."""
    quantiles = np.full(len(values), np.nan)
    present = ~np.isnan(values)
    if present.any():
        shares = (rankdata(values[present]) - 0.5) / present.sum()
        quantiles[present] = norm.ppf(shares)
    return quantiles


def warp(values: np.ndarray) -> Tensor:
    """Standardised values; those far below the median are raised to a bound.

    It matters little how bad they are, and a few failed trainings would set the scale for all.

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
