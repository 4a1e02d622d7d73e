"""Samplers: each proposes the next configuration. A plain dict names them; they load when made."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ...common.errors import unknown_name

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from ...spaces import Space
    from ..surrogates.design_prior import DesignPrior
    from ..surrogates.transfer_prior import Inheritance

SAMPLERS = {
    "evolution": "evolution:EvolutionSampler",
    "gp": "gp:GPSampler",
    "random": "random:RandomSampler",
    "tpe": "tpe:TPESampler",
}
"""The class of each sampler that needs nothing but a space: ``module:name`` in this package."""

AUTOTRANSFER = {
    "autotransfer": "random",
    "autotransfer-evolution": "evolution",
    "autotransfer-tpe": "tpe",
}
TRANSFER = "transfer"
INHERITING = (TRANSFER, *AUTOTRANSFER)
"""Samplers that start from a bank. Where it has nothing to say they are what they stand on."""

RELAXED = ("rarts", "rarts-literal", "darts-1", "darts-2")
"""Methods of relaxed search, the first phase of a study; see `search.relaxed.sampler`."""

JOINT = "apq"
"""Joint search, the first phase of a study, too; see `search.joint.sampler`."""


class Heir(Protocol):
    """What a bank hands down."""

    @property
    def tasks(self) -> Sequence[str]: ...

    def inheritance(self) -> Inheritance: ...

    def prior(self) -> DesignPrior: ...


def make_sampler(name: str, space: Space, seed: int, heritage: Heir | None = None) -> BaseSampler:
    """A sampler by its name.

    Args:
        name: One of `SAMPLERS` or `INHERITING`.
        space: What can be chosen.
        seed: The sampler's seed.
        heritage: What the bank hands down to the samplers that inherit.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name in INHERITING:
        if heritage is None or not heritage.tasks:
            return _make("gp" if name == TRANSFER else AUTOTRANSFER[name], space, seed)
        if name == TRANSFER:
            from .transfer_gp import TransferGPSampler

            return TransferGPSampler(space, heritage.inheritance(), seed=seed)
        from .autotransfer import AutoTransferSampler

        return AutoTransferSampler(space, heritage.prior(), seed=seed, base=AUTOTRANSFER[name])
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, [*SAMPLERS, *INHERITING, *RELAXED, JOINT])
    return _make(name, space, seed)


def _make(name: str, space: Space, seed: int) -> BaseSampler:
    module, kind = SAMPLERS[name].split(":")
    sampler: BaseSampler = getattr(importlib.import_module(f".{module}", __name__), kind)(
        space, seed=seed
    )
    return sampler
