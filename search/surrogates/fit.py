"""Search for the settings of largest posterior: L-BFGS with gradients by automatic derivation.

BoTorch's `fit_gpytorch_mll` does the same for whole GPyTorch models. Here an objective has its
distances computed once, so that a step costs one Cholesky decomposition. Measured on one core with
60 observations of 10 columns: `fit_scales` .02 s, `fit_gpytorch_mll` of a `SingleTaskGP` .4 s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor


@torch.enable_grad()  # the caller may be predicting
def minimise(
    objective: Callable[[Tensor], Tensor],
    start: np.ndarray,
    bounds: Sequence[tuple[float, float]],
    steps: int,
) -> np.ndarray:
    """The point of the smallest objective that L-BFGS finds within bounds ``[p]``.

    Args:
        objective: A scalar of a point ``[p]``, differentiable.
        start: Where to start ``[p]``; it is also the answer where the search ends in numbers that
            are not finite.
        bounds: The lowest and the highest value in each dimension.
        steps: At most so many steps.
    """

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(flat, requires_grad=True)
        value = objective(point)
        (gradient,) = torch.autograd.grad(value, point)
        return float(value.detach()), gradient.numpy()

    result = minimize(
        value_and_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": steps},
    )
    point: np.ndarray = result.x
    return point if np.isfinite(point).all() else start
