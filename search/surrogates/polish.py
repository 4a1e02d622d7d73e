"""The last steps of a local search: numeric choices moved along the acquisition's gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...spaces import Config, Space
from ...spaces.encoding import unscale
from .fit import minimise

STEPS = 20
"""L-BFGS steps; a start that was screened lies in the right basin already."""


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

    def negative(values: Tensor) -> Tensor:
        # The starts do not interact: the gradient of the sum holds each one's own.
        return -acquisition(x.masked_scatter(free, values)).sum()

    start = x[free].numpy()
    values = minimise(negative, start, [(0.0, 1.0)] * len(start), STEPS)
    moved = x.masked_scatter(free, torch.from_numpy(values))
    return [
        _with_values(space, config, row, mask)
        for config, row, mask in zip(configs, moved.tolist(), free.tolist(), strict=True)
    ]


def _with_values(space: Space, config: Config, row: list[float], free: list[bool]) -> Config:
    """The configuration with the scaled values of a row where they are free."""
    moved = dict(config)
    for p, value, is_free in zip(space.parameters, row, free, strict=True):
        if is_free:
            moved[p.name] = unscale(p.distribution, value)
    return moved
