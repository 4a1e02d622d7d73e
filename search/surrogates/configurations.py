"""A Gaussian process over the configurations of a mixed, conditional space.

The kernel is one of two:

* where a numeric choice is among them, ``exp(-mean_i [c_i != c'_i] / l_i) * Matern_5/2(z, z')`` on
  the categorical choices c and the numeric ones z (in [0, 1]). An inactive choice holds a constant,
  so it tells nothing;
* else ``exp(-|v - v'|^2 / 2 l^2)`` on counts v: those by which a space describes the models that
  its configurations build, or one for each choice (the exponentiated Hamming kernel).

The one length scale of the second is not fitted but averaged over a small grid. The many of the
first are those of the largest posterior.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from gpytorch.kernels import Kernel
from torch import Tensor

from ...spaces import Config, Space
from ...spaces.counts import counts
from .averaged import AveragedProcess
from .evidence import student_posterior
from .fit import minimise
from .kernels import count_kernel, matern, mixed_kernel

INACTIVE = 0.5
"""The value of an inactive numeric choice: the middle, nearest to all."""

SCALES = (1.5, 3.0, 6.0)
"""Length scales on a space's own counts; a network of four operations has about 20 of them."""

HAMMING_SCALES = (1.0, 1.6)
"""Length scales on one count a choice: k falls to exp(-1) and exp(-.4) with one other choice."""

NOISES = (0.03, 0.2)
"""Noise variances, as shares of the signal's."""

STEPS = 30
"""L-BFGS steps of a fit; where more would be taken, the posterior is flat."""

CATEGORICAL = (-1.5, 1.0)
"""Normal prior (mean, deviation) of a categorical choice's log length scale."""

LOG_NOISE = (-7.0, 1.5)
"""Normal prior of the log noise, a share of the signal's variance."""


class ConfigurationInputs:
    """Turns configurations into inputs: counts, or choices where one of them is numeric.

    Args:
        space: What can be chosen.

    Attributes:
        counts: Whether inputs are counts.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.categorical = [int(i) for i in np.flatnonzero(space.categorical)]
        self.numeric = [int(i) for i in np.flatnonzero(~space.categorical)]
        self.counts = not self.numeric or space.features([]) is not None

    def __call__(self, configs: Sequence[Config]) -> Tensor:
        """``[n, d]`` float64."""
        if self.counts:
            return torch.from_numpy(counts(self.space, configs))
        encoding = self.space.encode(configs)
        inactive = np.where(encoding.categorical, -1.0, INACTIVE)
        return torch.from_numpy(np.where(encoding.mask, encoding.values, inactive))

    def settings(self, x: Tensor, y: Tensor) -> tuple[Kernel, Tensor]:
        """A batch of kernels, and a noise variance for each ``[b]``, given the observations."""
        if not self.counts:
            fitted, noise = fit_scales(x, y, torch.from_numpy(self.space.categorical))
            kernel = mixed_kernel(fitted, self.categorical, self.numeric)
            return kernel, torch.tensor([noise], dtype=torch.float64)
        scales = HAMMING_SCALES if self.space.features([]) is None else SCALES
        grid = torch.tensor(list(itertools.product(scales, NOISES)), dtype=torch.float64)
        return count_kernel(grid[:, 0]), grid[:, 1]


class ConfigurationProcess(AveragedProcess[Tensor]):
    """The process over configurations.

    Args:
        inputs: Makes inputs of configurations.
        x: Inputs of the observed configurations ``[n, d]``.
        y: Their values ``[n]``, standardised (see `warp`), higher is better.
    """

    def __init__(self, inputs: ConfigurationInputs, x: Tensor, y: Tensor) -> None:
        self.kernel, self._noise = inputs.settings(x, y)
        super().__init__(x, y)

    @property
    def noise(self) -> Tensor:
        return self._noise

    def keep_settings(self, chosen: Tensor) -> None:
        self.kernel, self._noise = self.kernel[chosen], self._noise[chosen]

    def prior_mean(self, x: Tensor) -> Tensor:
        return torch.zeros(len(self.noise), 1, dtype=x.dtype)

    def covariance(self, x: Tensor, other: Tensor) -> Tensor:
        covariance: Tensor = self.kernel(x, other.to(x.dtype)).to_dense()
        return covariance.view(len(self.noise), len(x), len(other))

    def prior_variance(self, x: Tensor) -> Tensor:
        # All kernels here are stationary with k(x, x) = 1.
        return torch.ones(1, 1, dtype=x.dtype)

    def join(self, x: Tensor, more: Tensor) -> Tensor:
        return torch.cat([x, more])


def numeric_prior(dimensions: int) -> tuple[float, float]:
    """Normal prior (mean, deviation) of a numeric choice's log length scale.

    It grows with the square root of the dimension: else in many dimensions every point would be
    far from all others (Hvarfner et al., *Vanilla Bayesian Optimization Performs Great in High
    Dimensions*, ICML 2024).
    """
    return 0.5 * math.log(dimensions) - 0.6, 1.0


def fit_scales(x: Tensor, y: Tensor, categorical: Tensor) -> tuple[Tensor, float]:
    """Length scales and noise at the maximum of their posterior.

    The kernel is ``exp(-mean_i [c_i != c'_i] / l_i) * Matern_5/2(|z - z'| / l)``; the signal's
    variance is integrated out.

    Args:
        x: Inputs ``[n, d]``.
        y: Standardised values ``[n]``.
        categorical: Which columns are categorical ``[d]`` bool.

    Returns:
        Length scales ``[d]``, and the noise as a share of the signal's variance.
    """
    gaps = x.T.unsqueeze(2) - x.T.unsqueeze(1)  # [d, n, n]
    codes = (gaps[categorical] != 0).to(x.dtype) / max(int(categorical.sum()), 1)
    squares = gaps[~categorical].square()
    priors = [CATEGORICAL if c else numeric_prior(len(squares)) for c in categorical.tolist()]
    location, deviation = torch.tensor([*priors, LOG_NOISE], dtype=x.dtype).unbind(1)
    identity = torch.eye(len(x), dtype=x.dtype)

    def negative_log_posterior(logs: Tensor) -> Tensor:
        scales = logs[:-1].exp()
        matrix = matern(torch.tensordot(scales[~categorical] ** -2, squares, 1))
        if len(codes):
            matrix = matrix * (-torch.tensordot(1 / scales[categorical], codes, 1)).exp()
        covariance = matrix + logs[-1].exp() * identity
        log_evidence = student_posterior(covariance[None], y[None]).log_evidence[0].sum()
        return ((logs - location) / deviation).square().sum() / 2 - log_evidence

    bounds = [(-3.5, 7.0)] * x.shape[1] + [(math.log(1e-4), 0.0)]
    logs = torch.from_numpy(minimise(negative_log_posterior, location.numpy(), bounds, STEPS))
    return logs[:-1].exp(), float(logs[-1].exp())
