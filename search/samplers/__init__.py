"""Samplers: each proposes the next configuration. They register by name and load when made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...common.errors import unknown_name
from ...common.registry import register, resolve

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from ...spaces import Space
    from ..surrogates.design_prior import DesignPrior
    from ..surrogates.transfer_prior import TransferPrior


@dataclass(frozen=True)
class Registration:
    """A sampler by name.

    Attributes:
        target: The class, or ``module:class`` (below this package where the module begins with a
            dot), imported when the sampler is made. A class is made as ``Class(space, seed=seed)``;
            one that uses a bank as ``Class.from_sources(space, sources, seed=seed)``.
        uses_bank: Whether it starts from what a bank's tasks have measured.
    """

    target: str | type[BaseSampler]
    uses_bank: bool = False

    def load(self) -> Any:
        """The class."""
        return resolve(self.target, __name__)


SAMPLERS: dict[str, Registration] = {}
"""All samplers by name; see `register_sampler`."""


class Sources(Protocol):
    """The tasks of a bank from which a sampler may start."""

    @property
    def tasks(self) -> Sequence[str]:
        """Their names; there may be none."""

    def transfer_prior(self) -> TransferPrior:
        """What they say as a prior over functions."""

    def design_prior(self) -> DesignPrior:
        """What they say as a distribution over configurations."""


def register_sampler(
    name: str, target: str | type[BaseSampler], *, uses_bank: bool = False
) -> None:
    """Give a sampler a name, under which studies and the command line find it.

    Args:
        name: A name; ``del SAMPLERS[name]`` takes it out again.
        target, uses_bank: See `Registration`.

    Raises:
        BequestError: The name is taken.

    Example:
        >>> register_sampler("mine", "my_package.my_module:MySampler")
        >>> del SAMPLERS["mine"]
    """
    register(SAMPLERS, "sampler", name, Registration(target, uses_bank))


register_sampler("autotransfer", ".autotransfer:AutoTransferSampler", uses_bank=True)
register_sampler("autotransfer-evolution", ".autotransfer:AutoTransferEvolution", uses_bank=True)
register_sampler("autotransfer-tpe", ".autotransfer:AutoTransferTPE", uses_bank=True)
register_sampler("evolution", ".evolution:EvolutionSampler")
register_sampler("gp", ".gp:GPSampler")
register_sampler("random", ".random:RandomSampler")
register_sampler("tpe", ".tpe:TPESampler")
register_sampler("transfer", ".transfer_gp:TransferGPSampler", uses_bank=True)


def uses_bank(name: str) -> bool:
    """Whether the sampler of that name, if there is one, starts from a bank."""
    return name in SAMPLERS and SAMPLERS[name].uses_bank


def make_sampler(
    name: str,
    space: Space,
    seed: int,
    sources: Sources | None = None,
    also: Iterable[str] = (),
) -> BaseSampler:
    """A sampler by its name.

    Args:
        name: One of `SAMPLERS`.
        space: What can be chosen.
        seed: The sampler's seed.
        sources: For samplers that use a bank: its tasks.
        also: Other names that the caller accepts, to be offered where the name is none of all.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, [*SAMPLERS, *also])
    registration = SAMPLERS[name]
    make = registration.load()
    sampler: BaseSampler
    if registration.uses_bank:
        sampler = make.from_sources(space, sources, seed=seed)
    else:
        sampler = make(space, seed=seed)
    return sampler
