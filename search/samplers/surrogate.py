"""A Gaussian process over the configurations of a mixed, conditional space.

``y(x) = m + f(x) + noise``, ``f ~ GP(0, k)`` with

``k(x, x') = exp(-mean_i [c_i != c'_i] / l_i) * Matern_5/2(z, z')``

on the categorical choices c and the numeric ones z (in [0, 1]). An inactive choice holds a
constant, so it tells nothing; a categorical one then has a code of its own. Where a space describes
the models that its configurations build, by counts, a second kernel compares those.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gpytorch
import numpy as np
import torch
from botorch.acquisition.analytic import _log_ei_helper
from botorch.exceptions.errors import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.kernels import CategoricalKernel
from botorch.models.utils.gpytorch_modules import get_gaussian_likelihood_with_lognormal_prior
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, MaternKernel, ProductKernel, RBFKernel, ScaleKernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from ...spaces import Config, Space

INACTIVE = 0.5
"""The value of an inactive numeric choice: the middle, nearest to all."""

MAX_FIT_STEPS = 40
"""L-BFGS steps of the fit; the posterior over hyperparameters is flat where more would be taken."""


@contextmanager
def one_thread() -> Iterator[None]:
    """One BLAS thread inside the block: parallelism is across trials."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Inputs:
    """Turns configurations into the surrogate's inputs: choices, then counts where there are any.

    Args:
        space: What can be chosen.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.categorical = [int(i) for i in np.flatnonzero(space.categorical)]
        self.numeric = [int(i) for i in np.flatnonzero(~space.categorical)]

    def __call__(self, configs: Sequence[Config]) -> Tensor:
        """``[n, d (+ f)]`` float64."""
        encoding = self.space.encode(configs)
        inactive = np.where(encoding.categorical, -1.0, INACTIVE)
        values = np.where(encoding.mask, encoding.values, inactive)
        counts = self.space.features(configs)
        if counts is not None:
            values = np.concatenate([values, counts], axis=1)
        return torch.from_numpy(values)

    def kernel(self, columns: int) -> Kernel:
        """The kernel for inputs with so many columns."""
        parts = []
        if self.categorical:
            parts.append(
                CategoricalKernel(
                    ard_num_dims=len(self.categorical),
                    active_dims=self.categorical,
                    lengthscale_prior=LogNormalPrior(-0.5, 1.0),
                    lengthscale_constraint=GreaterThan(1e-2, initial_value=0.6),
                )
            )
        if self.numeric:
            parts.append(_matern(self.numeric))
        choices = parts[0] if len(parts) == 1 else ProductKernel(*parts)
        d = len(self.space)
        if columns == d:
            return choices
        return _scaled(choices, 0.3) + _scaled(_on_counts(list(range(d, columns))), 0.7)


def _matern(columns: list[int]) -> Kernel:
    # Lengthscales grow with the square root of the dimension, or all points would be strangers
    # (Hvarfner et al., Vanilla Bayesian Optimization Performs Great in High Dimensions, ICML 2024).
    location = math.sqrt(2) + 0.5 * math.log(len(columns)) - 1.0
    return MaternKernel(
        nu=2.5,
        ard_num_dims=len(columns),
        active_dims=columns,
        lengthscale_prior=LogNormalPrior(location, 1.0),
        lengthscale_constraint=GreaterThan(2.5e-2, initial_value=math.exp(location)),
    )


def _on_counts(columns: list[int]) -> Kernel:
    return RBFKernel(
        active_dims=columns,
        lengthscale_prior=LogNormalPrior(1.0, 0.7),
        lengthscale_constraint=GreaterThan(0.1, initial_value=math.e),
    )


def _scaled(kernel: Kernel, variance: float) -> Kernel:
    return ScaleKernel(
        kernel,
        outputscale_prior=LogNormalPrior(math.log(variance), 0.5),
        outputscale_constraint=GreaterThan(1e-3, initial_value=variance),
    )


class Surrogate:
    """The fitted process.

    Args:
        inputs: Makes inputs of configurations.
        x: Inputs of the observed configurations ``[n, d]``.
        y: Their values ``[n]``, higher is better; see `warp`.
    """

    def __init__(self, inputs: Inputs, x: Tensor, y: Tensor) -> None:
        self.model = SingleTaskGP(
            x,
            y.unsqueeze(-1),
            likelihood=get_gaussian_likelihood_with_lognormal_prior(),
            covar_module=inputs.kernel(x.shape[1]),
            outcome_transform=None,
        ).double()
        mll = gpytorch.mlls.ExactMarginalLogLikelihood(self.model.likelihood, self.model)
        try:
            options = {"options": {"maxiter": MAX_FIT_STEPS}}
            fit_gpytorch_mll(mll, optimizer_kwargs=options, max_attempts=1)
        except ModelFittingError:
            pass  # the priors' means, where the search for better ones begins, are sensible
        self.model.eval()
        self._condition(x, y)

    @torch.no_grad()
    def _condition(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y
        self.mean = self.model.mean_module.constant
        noise = self.model.likelihood.noise.squeeze()
        covariance = self.model.covar_module(x).to_dense() + noise * torch.eye(len(x)).double()
        self.cholesky = torch.linalg.cholesky(covariance)
        residual = (y - self.mean).unsqueeze(-1)
        self.weights = torch.cholesky_solve(residual, self.cholesky).squeeze(-1)

    def believe(self, x: Tensor) -> None:
        """Take configurations that are still being trained for as good as predicted."""
        mean, _ = self.predict(x)
        self._condition(torch.cat([self.x, x]), torch.cat([self.y, mean]))

    @torch.no_grad()
    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of f at inputs ``[m, d]``: two ``[m]``."""
        cross = self.model.covar_module(x, self.x).to_dense()
        mean = self.mean + cross @ self.weights
        explained = torch.linalg.solve_triangular(self.cholesky, cross.T, upper=False).square()
        # All kernels here are stationary: one variance for all points.
        prior = self.model.covar_module(x[:1]).to_dense().squeeze()
        return mean, (prior - explained.sum(0)).clamp_min(1e-10).sqrt()

    def log_expected_improvement(self, x: Tensor, best: Tensor) -> Tensor:
        """The logarithm of the expected improvement over ``best``: ``[m]``.

        Source: Ament et al., *Unexpected Improvements to Expected Improvement for Bayesian
        Optimization*, NeurIPS 2023.
        """
        mean, deviation = self.predict(x)
        return _log_ei_helper((mean - best) / deviation) + deviation.log()


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
    deviation = values.std()
    return torch.from_numpy((values - values.mean()) / (deviation if deviation > 0 else 1.0))
