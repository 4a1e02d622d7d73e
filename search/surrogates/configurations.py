"""A Gaussian process over the configurations of a mixed, conditional space.

``y(x) = m + f(x) + noise``, ``f ~ GP(0, s k)``, ``s ~ inverse gamma``. The kernel is one of two:

* where a numeric choice is among them, ``exp(-mean_i [c_i != c'_i] / l_i) * Matern_5/2(z, z')`` on
  the categorical choices c and the numeric ones z (in [0, 1]). An inactive choice holds a constant,
  so it tells nothing;
* else ``exp(-|v - v'|^2 / 2 l^2)`` on counts v: those by which a space describes the models that
  its configurations build, or one for each choice made (the exponentiated Hamming kernel).

The one length scale of the second is not fitted: with few observations the evidence is flat, and a
weighted mean over a small grid is safer than its maximum. The many of the first are fitted to the
maximum of their posterior.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from botorch.acquisition.analytic import _log_ei_helper
from botorch.models.kernels import CategoricalKernel
from gpytorch.kernels import Kernel, MaternKernel, ProductKernel
from torch import Tensor

from ...spaces import Config, Space
from ...spaces.counts import counts
from .fit import evidence, fit

INACTIVE = 0.5
"""The value of an inactive numeric choice: the middle, nearest to all."""

SCALES = (1.5, 3.0, 6.0)
"""Length scales on a space's own counts; a network of four operations has about 20 of them."""

HAMMING_SCALES = (1.0, 1.6)
"""Length scales on one count a choice: k falls to exp(-1) and exp(-.4) with one other choice."""

NOISES = (0.03, 0.2)
"""Noise variances, as shares of the signal's."""

NEGLIGIBLE = 0.01
"""A setting with less of the evidence than this is left out of predictions."""


class Inputs:
    """Turns configurations into inputs: counts, or choices where one of them is numeric.

    Args:
        space: What can be chosen.
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
            fitted, noise = fit(x, y, torch.from_numpy(self.space.categorical))
            return self._kernel(fitted), torch.tensor([noise], dtype=torch.float64)
        scales = HAMMING_SCALES if self.space.features([]) is None else SCALES
        grid = torch.tensor(list(itertools.product(scales, NOISES)), dtype=torch.float64)
        kernel = CountKernel(batch_shape=torch.Size([len(grid)])).double()
        kernel.lengthscale = grid[:, 0].view(-1, 1, 1)
        return kernel.requires_grad_(False), grid[:, 1]

    def _kernel(self, scales: Tensor) -> Kernel:
        kernels = []
        for kind, columns in ((CategoricalKernel, self.categorical), (MaternKernel, self.numeric)):
            if columns:
                kernel = kind(ard_num_dims=len(columns), active_dims=columns).double()
                kernel.lengthscale = scales[columns]
                kernels.append(kernel)
        return ProductKernel(*kernels).requires_grad_(False)


class CountKernel(Kernel):  # type: ignore[misc]
    """``k(x, x') = exp(-|x - x'|^2 / 2 l^2)`` for a batch of length scales, by one matrix product.

    GPyTorch's `RBFKernel` copies and centres both sides for every length scale; for whole spaces of
    candidates that takes several times as long.
    """

    has_lengthscale = True
    is_stationary = True

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **_: object) -> Tensor:
        if diag:
            return torch.ones(*self.batch_shape, x1.shape[-2], dtype=x1.dtype)
        x1, x2 = x1[(0,) * (x1.dim() - 2)], x2[(0,) * (x2.dim() - 2)]
        squares = x1.square().sum(-1).unsqueeze(-1) + x2.square().sum(-1)
        distances = torch.addmm(squares, x1, x2.mT, alpha=-2).clamp_min_(0)
        kernel: Tensor = (distances / (-2 * self.lengthscale.to(x1.dtype).square())).exp_()
        return kernel


class Surrogate:
    """The process under a batch of settings, averaged by their evidence.

    Args:
        inputs: Makes inputs of configurations.
        x: Inputs of the observed configurations ``[n, d]``.
        y: Their values ``[n]``, standardised (see `warp`), higher is better.
    """

    @torch.no_grad()
    def __init__(self, inputs: Inputs, x: Tensor, y: Tensor) -> None:
        with torch.enable_grad():  # for the fit
            self.kernel, self.noise = inputs.settings(x, y)
        self._condition(x, y.expand(len(self.noise), -1))
        shares = self.log_evidence.softmax(0)
        kept = (shares >= NEGLIGIBLE).nonzero().view(-1)
        self.log_shares = shares[kept].log()
        if len(kept) < len(shares):
            self.kernel, self.noise = self.kernel[kept], self.noise[kept]
            self._condition(x, y.expand(len(kept), -1))

    def _condition(self, x: Tensor, y: Tensor) -> None:
        """Observe values ``y [b, n]`` at ``x [n, d]``; all that follows is a batch of b."""
        self.x, self.y = x, y
        n = len(x)
        covariance = self._covariance(x) + self.noise.view(-1, 1, 1) * torch.eye(n, dtype=x.dtype)
        self.log_evidence, self.cholesky, self.weights, self.variance = evidence(covariance, y)

    def _covariance(self, x: Tensor) -> Tensor:
        covariance: Tensor = self.kernel(x, self.x.to(x.dtype)).to_dense()
        return covariance.view(len(self.noise), len(x), len(self.x))

    @torch.no_grad()
    def believe(self, x: Tensor) -> None:
        """Take configurations that are still being trained for as good as predicted."""
        mean, _ = self.predict(x)
        self._condition(torch.cat([self.x, x]), torch.cat([self.y, mean], dim=1))

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of f at inputs ``[m, d]``: two ``[b, m]``.

        Computed in the precision of ``x``: single precision is enough for whole spaces.
        """
        cross = self._covariance(x)
        mean = (cross @ self.weights.to(x.dtype)).squeeze(-1)
        solved = torch.linalg.solve_triangular(self.cholesky.to(x.dtype), cross.mT, upper=False)
        # All kernels here are stationary with k(x, x) = 1.
        rest = (1 - solved.square().sum(1)).clamp_min(1e-7)
        return mean, (self.variance.to(x.dtype).unsqueeze(-1) * rest).sqrt()

    def log_expected_improvement(self, x: Tensor, best: Tensor) -> Tensor:
        """The logarithm of the expected improvement over ``best`` at inputs ``[m, d]``: ``[m]``."""
        mean, deviation = (part.double() for part in self.predict(x))
        return log_expected_improvement(mean, deviation, best, self.log_shares)


def log_expected_improvement(
    mean: Tensor, deviation: Tensor, best: Tensor, log_shares: Tensor
) -> Tensor:
    """The logarithm of the expected improvement over ``best``, averaged over settings.

    Source: Ament et al., *Unexpected Improvements to Expected Improvement for Bayesian
    Optimization*, NeurIPS 2023.

    Args:
        mean, deviation: Predictions under each setting ``[b, m]``.
        best: The best value so far.
        log_shares: The settings' shares of the evidence, as logarithms ``[b]``.

    Returns:
        ``[m]``.
    """
    gain = _log_ei_helper((mean - best) / deviation) + deviation.log()
    return torch.logsumexp(gain + log_shares.unsqueeze(-1), dim=0)
