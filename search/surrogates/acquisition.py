"""Expected improvement: what a candidate is worth, given the best value so far."""

from __future__ import annotations

import math

import numpy as np
import torch
from botorch.utils.probability.utils import log_phi, ndtr, phi
from botorch.utils.safe_math import log1mexp
from scipy.special import ndtr as normal_cdf
from torch import Tensor

FAR = -1e6
"""Below it ``log(1 - exp(w))`` of the formula is all rounding; its leading term remains."""

REACH, RESOLUTION = 8, 1024
_STEPS = np.linspace(-REACH, REACH, 2 * REACH * RESOLUTION + 1)
_IMPROVEMENT = _STEPS * normal_cdf(_STEPS) + np.exp(-0.5 * _STEPS**2) / np.sqrt(2 * np.pi)


def log_expected_improvement(
    mean: Tensor, deviation: Tensor, best: Tensor, log_shares: Tensor
) -> Tensor:
    """The logarithm of the expected improvement over ``best``, averaged over settings.

    BoTorch's `LogExpectedImprovement` gives the same numbers for one setting, but asks a BoTorch
    model for them; here the settings' predictions are there already.

    Args:
        mean, deviation: Predictions under each setting ``[b, m]``.
        best: The best value so far.
        log_shares: The settings' shares of the evidence, as logarithms ``[b]``.

    Returns:
        ``[m]``.
    """
    gain = log_improvement((mean - best) / deviation) + deviation.log()
    return torch.logsumexp(gain + log_shares.unsqueeze(-1), dim=0)


def log_improvement(u: Tensor) -> Tensor:
    """``log E[max(u + e, 0)]`` for a standard normal e, differentiable far below 0.

    ``E[max(u + e, 0)] = phi(u) + u Phi(u)``. Where ``u < -1`` the two terms cancel, so the
    logarithm is ``log phi(u) + log(1 - exp(w))``, ``w = log(|u| Phi(u) / phi(u))``, and w is taken
    from the scaled complementary error function.

    Source: Ament et al., *Unexpected Improvements to Expected Improvement for Bayesian
    Optimization*, NeurIPS 2023, equation 9 and appendix A.2; as BoTorch computes it.

    Args:
        u: float64, any shape.
    """
    # Each branch sees values of its own range alone: NaN in one would spoil the gradients.
    upper = u.masked_fill(u < -1, -1)
    lower = u.masked_fill(u > -1, -1)
    near = lower.masked_fill(u < FAR, FAR)
    w = torch.log(torch.special.erfcx(-(2**-0.5) * near) * near.abs()) + _HALF_LOG_HALF_PI
    rest = torch.where(u > FAR, log1mexp(w), -2 * lower.abs().log())
    return torch.where(u > -1, (phi(upper) + upper * ndtr(upper)).log(), log_phi(u) + rest)


_HALF_LOG_HALF_PI = math.log(math.pi / 2) / 2


def tabulated_improvement(z: np.ndarray) -> np.ndarray:
    """``E[max(z + e, 0)]`` for a standard normal e, from a table; exact to 2e-4.

    For millions of cells a table is ten times as fast as the error function. Beyond it the
    improvement is z itself, or nothing.
    """
    places = ((z + REACH) * RESOLUTION + 0.5).clip(0, len(_IMPROVEMENT) - 1).astype(np.intp)
    improvement: np.ndarray = np.where(z > REACH, z, _IMPROVEMENT.take(places))
    return improvement
