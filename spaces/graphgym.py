"""The grid of graph networks that GraphGym published in full."""

from __future__ import annotations

from typing import Any

from optuna.distributions import CategoricalDistribution

from .parameter import Parameter
from .space import Space

GRID: dict[str, tuple[Any, ...]] = {
    "l_pre": (1, 2),
    "l_mp": (2, 4, 6, 8),
    "l_post": (2, 3),
    "stage_type": ("skipsum", "skipconcat"),
    "agg": ("add", "mean", "max"),
}
EXPERIMENT = "design_v2_grid_round2"
"""What the table calls the experiment."""


def graphgym_space() -> Space:
    """The 96 designs, under the table's own names.

    Source: You, Ying, Leskovec, *Design Space for Graph Neural Networks*, NeurIPS 2020.
    """
    return Space("graphgym-v2", [Parameter(n, CategoricalDistribution(v)) for n, v in GRID.items()])
