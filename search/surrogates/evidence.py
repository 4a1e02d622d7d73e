"""How well a Gaussian process explains its observations, and settings averaged by that.

With few observations the evidence is flat, and the mean over a small grid of settings, each with
its share of the evidence, is safer than the setting of the largest one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SHAPE = RATE = 3.0
"""The inverse gamma prior of the signal's variance; the values are standardised."""


class Posterior(NamedTuple):
    """What predictions need of a process under ``b`` settings, given ``n`` observations.

    Attributes:
        log_evidence: Up to a constant that all settings share ``[b]``.
        cholesky: The lower factor of the observations' covariance ``C`` ``[b, n, n]``.
        weights: ``C^-1 y`` ``[b, n, 1]``.
        variance: The signal's, which the covariance is in units of ``[b]``.
    """

    log_evidence: Tensor
    cholesky: Tensor
    weights: Tensor
    variance: Tensor


def student_posterior(covariance: Tensor, y: Tensor) -> Posterior:
    """Condition on values whose signal's variance is inverse gamma: a Student t.

    The log evidence is ``-log|C| / 2 - a log b``, ``a = SHAPE + n / 2``,
    ``b = RATE + y' C^-1 y / 2``; the signal's variance is ``b / a``.

    Args:
        covariance: ``C``, the kernel's matrix with the noise on its diagonal ``[b, n, n]``.
        y: Standardised values ``[b, n]``.
    """
    cholesky = torch.linalg.cholesky(covariance)
    weights = torch.cholesky_solve(y.unsqueeze(-1), cholesky)
    shape = SHAPE + y.shape[-1] / 2
    rate = RATE + (y.unsqueeze(-2) @ weights).flatten() / 2
    log_determinant = cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_evidence = -log_determinant - shape * rate.log()
    return Posterior(log_evidence, cholesky, weights, rate / shape)


def gaussian_terms(covariance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the negative log evidence of Gaussian values, summed over a batch.

    ``log|C| / 2`` and ``y' C^-1 y / 2``; the constant is left out.

    Args:
        covariance: ``C``, with the noise on its diagonal ``[b, n, n]`` or ``[n, n]``.
        y: Values less their mean ``[b, n]`` or ``[n]``.
    """
    cholesky = torch.linalg.cholesky(covariance)
    solved = torch.linalg.solve_triangular(cholesky, y.unsqueeze(-1), upper=False)
    half_log_determinant = cholesky.diagonal(dim1=-2, dim2=-1).log().sum()
    return half_log_determinant, solved.square().sum() / 2


def shares(log_evidence: np.ndarray, negligible: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Each setting's share of the evidence.

    Args:
        log_evidence: ``[s]``, priors included.
        negligible: Settings with less than this part of the best one's evidence are left out.

    Returns:
        Which settings stay ``[s]`` bool, and their shares, which add up to 1.
    """
    relative = np.exp(log_evidence - log_evidence.max())
    stays = relative >= negligible * relative.max()
    return stays, relative[stays] / relative[stays].sum()
