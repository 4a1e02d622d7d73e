"""Samplers: each proposes the next configuration. A plain dict names them; they load when made."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ...errors import unknown_name

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from ...spaces import Space

SAMPLERS = {
    "evolution": "evolution:EvolutionSampler",
    "gp": "gp:GPSampler",
    "random": "random:RandomSampler",
    "tpe": "tpe:TPESampler",
}
"""The class of each sampler: ``module:name`` in this package."""


def make_sampler(name: str, space: Space, seed: int) -> BaseSampler:
    """A sampler by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    module, kind = SAMPLERS[name].split(":")
    sampler: BaseSampler = getattr(importlib.import_module(f".{module}", __name__), kind)(
        space, seed=seed
    )
    return sampler
