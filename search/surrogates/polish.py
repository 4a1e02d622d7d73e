"""The last steps of a local search: numeric choices moved along the acquisition's gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ...spaces import Config, Space
from ...spaces.encoding import unscale

STEPS = 20
"""L-BFGS steps; a screened start lies in the right basin already."""


def polish(
    space: Space, configs: Sequence[Config], x: Tensor, acquisition: Callable[[Tensor], Tensor]
) -> list[Config]:
    """Climb from each configuration in its active numeric choices, all at once.

    Integers are treated as numbers and rounded at the end; choices that others hang on stay, so
    that the same parameters remain active.

    Args:
        space: What can be chosen.
        configs: Where to start.
        x: Their inputs ``[n, d]``, one column a parameter.
        acquisition: Values ``[n]`` of inputs ``[n, d]``, differentiable.

    Returns:
        One configuration for each start.
    """
    parents = {p.condition.parameter for p in space.parameters if p.condition is not None}
    numeric = [not c for c in space.categorical]
    free = torch.tensor(
        [
            [
                n and p.name in config and p.name not in parents
                for n, p in zip(numeric, space.parameters, strict=True)
            ]
            for config in configs
        ]
    )
    if not free.any():
        return list(configs)

    def negative(flat: np.ndarray) -> tuple[float, np.ndarray]:
        places = torch.tensor(flat, dtype=x.dtype, requires_grad=True)
        # The starts do not interact: the gradient of the sum holds each one's own.
        loss = -acquisition(x.masked_scatter(free, places)).sum()
        (gradient,) = torch.autograd.grad(loss, places)
        return float(loss.detach()), gradient.numpy()

    start = x[free].numpy()
    bounds = [(0.0, 1.0)] * len(start)
    found = minimize(
        negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    if not np.isfinite(found.x).all():
        return list(configs)
    moved = x.masked_scatter(free, torch.from_numpy(found.x))
    return [
        _read(space, config, row, mask)
        for config, row, mask in zip(configs, moved.tolist(), free.tolist(), strict=True)
    ]


def _read(space: Space, config: Config, row: list[float], free: list[bool]) -> Config:
    found = dict(config)
    for p, place, changed in zip(space.parameters, row, free, strict=True):
        if changed:
            found[p.name] = unscale(p.distribution, place)
    return found
