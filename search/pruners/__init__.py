"""Pruners by name: they end trainings early whose validation curve lags behind."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner, NopPruner

from ...common.errors import unknown_name
from ...spaces import Space
from .forecast import ForecastPruner, grouping
from .hyperband import SlotHyperbandPruner, SlotMedianPruner

# The first trials and the first epochs say little: both are spared. Trainings whose length nobody
# knows beforehand, graphs', have a hundred epochs and more.


def _median(space: Space, epochs: int | None) -> BasePruner:
    warmup = 20 if epochs is None else max(2, epochs // 5)
    return SlotMedianPruner(n_startup_trials=5, n_warmup_steps=warmup)


def _hyperband(space: Space, epochs: int | None) -> BasePruner:
    return SlotHyperbandPruner(min_resource=10 if epochs is None else max(1, epochs // 9))


PRUNERS: dict[str, Callable[[Space, int | None], BasePruner]] = {
    "none": lambda space, epochs: NopPruner(),
    "forecast": lambda space, epochs: ForecastPruner(grouping(space)),
    "median": _median,
    "hyperband": _hyperband,
}


def make_pruner(name: str, space: Space, epochs: int | None = None) -> BasePruner:
    """A pruner by its name.

    Args:
        name: One of `PRUNERS`.
        space: What the study searches.
        epochs: Of each training, where all have as many.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in PRUNERS:
        raise unknown_name("pruner", name, PRUNERS)
    return PRUNERS[name](space, epochs)
