"""A Gaussian process with one length scale, fitted by evidence: that of published MBTL.

``f ~ GP(0, c exp(-|x - x'|^2 / 2 l^2))``, noise of a given variance, ``c`` and ``l`` those of the
largest evidence within bounds, found from ``c = l = 1``. This is what scikit-learn's
`GaussianProcessRegressor(ConstantKernel(1, (1e-3, 1e3)) * RBF(1, (1e-2, 1e2)))` does, which the
published code uses; on its benchmarks both choose the same sources.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .evidence import gaussian_terms
from .fit import minimise
from .kernels import squared_distances

VARIANCES, SCALES = (1e-3, 1e3), (1e-2, 1e2)
"""Bounds of the signal's variance and of the length scale."""

STEPS = 15_000
"""SciPy's own limit: L-BFGS ends long before."""


class IsotropicProcess:
    """The process, conditioned on observations.

    Args:
        x: Inputs ``[n, d]``.
        y: Values ``[n]``; the prior mean is 0.
        noise: The noise variance.

    Attributes:
        variance, scale: As fitted.
        log_evidence: At these, up to a constant.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, noise: float) -> None:
        self.noise = noise
        self.condition(x, y)

    def condition(self, x: np.ndarray, y: np.ndarray) -> None:
        """Observe values ``y [n]`` at ``x [n, d]``: fit variance and length scale."""
        self._x = torch.from_numpy(np.ascontiguousarray(x, dtype=float))
        values = torch.from_numpy(np.ascontiguousarray(y, dtype=float))
        squares = squared_distances(self._x, self._x)
        squares.fill_diagonal_(0.0)
        noise = self.noise * torch.eye(len(self._x), dtype=torch.float64)

        def covariance(logs: Tensor) -> Tensor:
            return logs[0].exp() * (-squares / (2 * (2 * logs[1]).exp())).exp() + noise

        def negative_log_evidence(logs: Tensor) -> Tensor:
            half_log_determinant, half_distance = gaussian_terms(covariance(logs), values)
            return half_log_determinant + half_distance

        bounds = [(math.log(low), math.log(high)) for low, high in (VARIANCES, SCALES)]
        logs = torch.from_numpy(minimise(negative_log_evidence, np.zeros(2), bounds, STEPS))
        self.variance, self.scale = logs.exp().tolist()
        self.log_evidence = -float(negative_log_evidence(logs))
        self._cholesky = torch.linalg.cholesky(covariance(logs))
        self._weights = torch.cholesky_solve(values[:, None], self._cholesky)[:, 0]

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of f at inputs ``[m, d]``: two ``[m]``."""
        asked = torch.from_numpy(np.ascontiguousarray(x, dtype=float))
        squares = squared_distances(asked, self._x)
        cross = self.variance * (-squares / (2 * self.scale**2)).exp()
        explained = torch.linalg.solve_triangular(self._cholesky, cross.T, upper=False)
        left = (self.variance - explained.square().sum(0)).clip(min=0)
        return (cross @ self._weights).numpy(), left.sqrt().numpy()
