"""What a relaxed search is asked to do: method, length, rates, and cures as switches."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ....common.errors import ConfigurationError, unknown_name
from ....evaluators.supernet import GATES
from ....spaces import Space
from ....spaces.nas_bench_graph import NasBenchGraphSpace
from ...samplers import RELAXED as METHODS
from .bilevel import RelaxedOptimiser
from .darts import Darts
from .optimiser import Rates
from .problem import Problem
from .rarts import Coupling, Rarts


@dataclass(frozen=True)
class Cures:
    """Switches against collapse; the defaults are what worked on NAS-Bench-201's cells with RARTS.

    Attributes:
        warmup: Epochs in which weights alone learn.
        max_skips: How many skip connections a derived architecture may have (P-DARTS).
        gate: ``softmax`` or ``sigmoid`` (FairDARTS).
        zero_one: The weight of FairDARTS' zero-one loss; it wants sigmoid gates.
        decaying_skip: A skip beside each edge of a cell that fades away (DARTS-).
        stop_by_eigenvalue: End where the Hessian's eigenvalue rises, and go back (R-DARTS).
    """

    warmup: int = 2
    max_skips: int | None = None
    gate: str = "softmax"
    zero_one: float = 0.0
    decaying_skip: bool = False
    stop_by_eigenvalue: bool = False

    def __post_init__(self) -> None:
        if self.gate not in GATES:
            raise unknown_name("gate", self.gate, GATES)
        for name in ("warmup", "max_skips"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: give 0 or more")
        if self.zero_one and self.gate != "sigmoid":
            raise ConfigurationError(
                f"the zero-one loss ({self.zero_one}) drives sigmoid gates: set gate='sigmoid'"
            )

    def of_supernet(self) -> dict[str, object]:
        """What the supernet itself has to know."""
        return {
            "gate": self.gate,
            "zero_one": self.zero_one,
            "decaying_skip": self.decaying_skip,
        }


@dataclass(frozen=True)
class Settings:
    """A relaxed search.

    Attributes:
        method: One of `METHODS`.
        epochs: How many; the weights' learning rate falls to ``final_rate`` by a cosine.
        rates: How weights and alphas move.
        final_rate: Of the weights.
        coupling: RARTS' lambda, beta, their growth, its multiplier.
        cures: Switches against collapse.
        eigenvalues: Whether the Hessian's eigenvalue is computed after each epoch.

    Raises:
        UnknownNameError: There is no such method.
        ConfigurationError: There are no epochs in which alphas move.
    """

    method: str = "rarts"
    epochs: int = 14
    rates: Rates = field(default_factory=lambda: Rates(weights=0.05, alpha=3e-3))
    final_rate: float = 1e-3
    coupling: Coupling = field(default_factory=Coupling)
    cures: Cures = field(default_factory=Cures)
    eigenvalues: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method of relaxed search", self.method, METHODS)
        if self.epochs <= self.cures.warmup:
            raise ConfigurationError(
                f"a search of {self.epochs} epochs ends in its warm-up of {self.cures.warmup}: "
                "give more epochs or a shorter warm-up"
            )
        if self.cures.stop_by_eigenvalue and not self.eigenvalues:
            raise ConfigurationError("stop_by_eigenvalue wants eigenvalues: set eigenvalues=True")

    def optimiser(self, problem: Problem, weights: Tensor, alpha: Tensor) -> RelaxedOptimiser:
        """The method's optimiser."""
        if self.method.startswith("darts"):
            order = int(self.method[-1])
            return Darts(problem, weights, alpha, self.rates, order=order)
        form = "literal" if self.method.endswith("literal") else "fused"
        return Rarts(problem, weights, alpha, self.rates, coupling=self.coupling, form=form)


def default_settings(method: str, space: Space) -> Settings:
    """What a study does that names a method alone.

    Raises:
        UnknownNameError: There is no such method.
    """
    if space.kind != NasBenchGraphSpace.kind:
        return Settings(method)
    # A step sees the whole graph, so steps are few; dropout is a graph's own noise, in which the
    # Hessian's eigenvalue says little. Few nodes have labels: loosely coupled networks learn both
    # halves by heart, and alphas see no generalisation: so the coupling grows.
    rates = Rates(weights=0.01, alpha=0.01, weight_decay=5e-4, weights_optimizer="adam")
    return Settings(
        method,
        16,
        rates=rates,
        coupling=Coupling(growth=1.04, largest=100.0),
        cures=Cures(warmup=4),
        eigenvalues=False,
    )
