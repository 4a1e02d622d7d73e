"""Configurations as arrays for surrogates, and the small arithmetic of single distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


@dataclass(frozen=True)
class Encoding:
    """Encoded configurations.

    Attributes:
        values: ``[n, d]`` float64; a categorical column holds the choice's index, a numeric one
            lies in [0, 1]; inactive entries are 0.
        mask: ``[n, d]`` bool, True where the parameter is active.
        categorical: ``[d]`` bool.
    """

    values: np.ndarray
    mask: np.ndarray
    categorical: np.ndarray


def scale(distribution: BaseDistribution, value: Any) -> float:
    """A value's place in its distribution: the choice's index, or a number in [0, 1]."""
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.to_internal_repr(value))
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high, number = float(distribution.low), float(distribution.high), float(value)
    if high == low:
        return 0.0
    if distribution.log:
        return math.log(number / low) / math.log(high / low)
    return (number - low) / (high - low)


def unscale(distribution: BaseDistribution, share: float) -> Any:
    """The value nearest to a place: the inverse of `scale`."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.to_external_repr(share)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = float(distribution.low), float(distribution.high)
    share = min(max(share, 0.0), 1.0)
    value = low * (high / low) ** share if distribution.log else low + share * (high - low)
    if distribution.step is not None:
        value = low + round((value - low) / distribution.step) * distribution.step
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


def choices(distribution: BaseDistribution) -> list[Any] | None:
    """Every value of a finite distribution, in order; ``None`` for a continuous one."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.single():
        return [distribution.low]
    if distribution.step is None:
        return None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + i * distribution.step for i in range(count)]


def draw(distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """A uniform draw (log-uniform where the distribution is logarithmic)."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    if isinstance(distribution, IntDistribution) and not distribution.log:
        count = (distribution.high - distribution.low) // distribution.step + 1
        return distribution.low + int(rng.integers(count)) * distribution.step
    options = None if isinstance(distribution, IntDistribution) else choices(distribution)
    if options is not None:
        return options[int(rng.integers(len(options)))]
    return unscale(distribution, float(rng.random()))
