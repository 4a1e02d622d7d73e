"""Length scales and noise at the maximum of their posterior, the signal's variance integrated out.

Distances between the observations are computed once, so that a step of the search costs one
Cholesky decomposition; for small data that is several times faster than a general fit.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

STEPS = 30
"""L-BFGS steps; where more would be taken, the posterior is flat."""

SHAPE = RATE = 3.0
"""The inverse gamma prior of the signal's variance; the values are standardised."""

CATEGORICAL = (-1.5, 1.0)
"""Normal prior (mean, deviation) of a categorical choice's log length scale."""

NOISE = (-7.0, 1.5)
"""Normal prior of the log noise, a share of the signal's variance."""


def numeric_prior(dimensions: int) -> tuple[float, float]:
    """Normal prior of a numeric choice's log length scale.

    It grows with the square root of the dimension, or all points would be strangers (Hvarfner et
    al., *Vanilla Bayesian Optimization Performs Great in High Dimensions*, ICML 2024).
    """
    return 0.5 * math.log(dimensions) - 0.6, 1.0


def evidence(covariance: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The log evidence of standardised values, up to a constant, and what predictions need.

    ``-log|C| / 2 - a log b`` with ``a = SHAPE + n / 2`` and ``b = RATE + y' C^-1 y / 2``.

    Args:
        covariance: ``C``, the kernel's matrix with the noise on its diagonal ``[b, n, n]``.
        y: Values ``[b, n]``.

    Returns:
        Log evidence ``[b]``, ``C``'s Cholesky factor ``[b, n, n]``, ``C^-1 y`` ``[b, n, 1]`` and
        the signal's variance ``b / a`` ``[b]``.
    """
    cholesky = torch.linalg.cholesky(covariance)
    weights = torch.cholesky_solve(y.unsqueeze(-1), cholesky)
    shape = SHAPE + y.shape[-1] / 2
    rate = RATE + (y.unsqueeze(-2) @ weights).flatten() / 2
    log_determinant = cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -log_determinant - shape * rate.log(), cholesky, weights, rate / shape


def fit(x: Tensor, y: Tensor, categorical: Tensor) -> tuple[Tensor, float]:
    """Fit ``k = exp(-mean_i [c_i != c'_i] / l_i) * Matern_5/2(|z - z'| / l)`` and the noise.

    Args:
        x: Inputs ``[n, d]``.
        y: Standardised values ``[n]``.
        categorical: Which columns are ``[d]``.

    Returns:
        Length scales ``[d]``, and the noise as a share of the signal's variance.
    """
    gaps = x.T.unsqueeze(2) - x.T.unsqueeze(1)  # [d, n, n]
    codes = (gaps[categorical] != 0).to(x.dtype) / max(int(categorical.sum()), 1)
    squares = gaps[~categorical].square()
    priors = [CATEGORICAL if c else numeric_prior(len(squares)) for c in categorical.tolist()]
    location, deviation = torch.tensor([*priors, NOISE], dtype=x.dtype).unbind(1)
    identity = torch.eye(len(x), dtype=x.dtype)

    def negative(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logs = torch.tensor(flat, requires_grad=True)
        scales = logs[:-1].exp()
        matrix = _matern(torch.tensordot(scales[~categorical] ** -2, squares, 1))
        if len(codes):
            matrix = matrix * (-torch.tensordot(1 / scales[categorical], codes, 1)).exp()
        log_evidence = evidence((matrix + logs[-1].exp() * identity)[None], y[None])[0].sum()
        loss = ((logs - location) / deviation).square().sum() / 2 - log_evidence
        (gradient,) = torch.autograd.grad(loss, logs)
        return float(loss.detach()), gradient.numpy()

    bounds = [(-3.5, 7.0)] * x.shape[1] + [(math.log(1e-4), 0.0)]
    start = location.numpy()
    found = minimize(
        negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    logs = torch.from_numpy(found.x if np.isfinite(found.x).all() else start)
    return logs[:-1].exp(), float(logs[-1].exp())


def _matern(squares: Tensor) -> Tensor:
    # The derivative of a square root at 0 is infinite; the little that is added keeps it finite.
    distance = (5 * squares + 1e-12).sqrt()
    return (1 + distance + distance.square() / 3) * (-distance).exp()
