"""Pruners by name: they end trainings early whose validation curve lags behind."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner, MedianPruner, NopPruner

from ..errors import unknown_name
from ..spaces import Space
from .forecast import ForecastPruner, grouping
from .slots import SlotHyperbandPruner

PRUNERS: dict[str, Callable[[Space], BasePruner]] = {
    "none": lambda space: NopPruner(),
    "forecast": lambda space: ForecastPruner(grouping(space)),
    # The first trials and the first epochs say little: both are spared.
    "median": lambda space: MedianPruner(n_startup_trials=5, n_warmup_steps=20),
    "hyperband": lambda space: SlotHyperbandPruner(min_resource=10),
}


def make_pruner(name: str, space: Space) -> BasePruner:
    """A pruner by its name.

    Args:
        name: One of `PRUNERS`.
        space: What the study searches.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in PRUNERS:
        raise unknown_name("pruner", name, PRUNERS)
    return PRUNERS[name](space)
