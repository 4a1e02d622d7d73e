"""What a one-shot search is asked to do: method, length, optimisers, regularisation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from ....common.errors import ConfigurationError, unknown_name
from ....evaluators.supernet import GATES
from ....spaces import Space
from ....spaces.nas_bench_graph import NasBenchGraphSpace
from .bilevel import OneShotOptimiser
from .darts import Darts
from .optimiser import OptimiserSettings
from .problem import Problem
from .rarts import Coupling, Rarts

METHODS = ("rarts", "rarts-literal", "darts-1", "darts-2")
"""The methods, by which samplers are named, too."""


@dataclass(frozen=True)
class Regularisation:
    """Remedies for collapse; the defaults are what worked on NAS-Bench-201's cells with RARTS.

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
class OneShotSettings:
    """A one-shot search.

    Attributes:
        method: One of `METHODS`.
        epochs: How many; the weights' learning rate falls to ``final_rate`` by a cosine.
        optimiser: How weights and alphas move.
        final_rate: Of the weights.
        coupling: RARTS' lambda, beta, their growth, its multiplier.
        regularisation: Remedies for collapse.
        eigenvalues: Whether the Hessian's eigenvalue is computed after each epoch.

    Raises:
        UnknownNameError: There is no such method.
        ConfigurationError: There are no epochs in which alphas move.
    """

    method: str = "rarts"
    epochs: int = 14
    optimiser: OptimiserSettings = field(
        default_factory=lambda: OptimiserSettings(weights=0.05, alpha=3e-3)
    )
    final_rate: float = 1e-3
    coupling: Coupling = field(default_factory=Coupling)
    regularisation: Regularisation = field(default_factory=Regularisation)
    eigenvalues: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method of one-shot search", self.method, METHODS)
        warmup = self.regularisation.warmup
        if self.epochs <= warmup:
            raise ConfigurationError(
                f"a search of {self.epochs} epochs ends in its warm-up of {warmup}: "
                "give more epochs or a shorter warm-up"
            )
        if self.regularisation.stop_by_eigenvalue and not self.eigenvalues:
            raise ConfigurationError("stop_by_eigenvalue wants eigenvalues: set eigenvalues=True")

    @property
    def label(self) -> str:
        """Nothing: the method's name says it in a study's default name."""
        return ""

    def stored(self) -> dict[str, Any]:
        """The settings as plain values, under the names that stored searches have."""
        names = {"optimiser": "rates", "regularisation": "cures"}
        return {names.get(name, name): value for name, value in asdict(self).items()}

    def make_optimiser(self, problem: Problem, weights: Tensor, alpha: Tensor) -> OneShotOptimiser:
        """The method's optimiser."""
        if self.method.startswith("darts"):
            order = int(self.method[-1])
            return Darts(problem, weights, alpha, self.optimiser, order=order)
        form = "literal" if self.method.endswith("literal") else "fused"
        return Rarts(problem, weights, alpha, self.optimiser, coupling=self.coupling, form=form)


def default_settings(method: str, space: Space) -> OneShotSettings:
    """What a study does that names a method alone.

    Raises:
        UnknownNameError: There is no such method.
    """
    if space.kind != NasBenchGraphSpace.kind:
        return OneShotSettings(method)
    # A step sees the whole graph, so steps are few; dropout is a graph's own noise, in which the
    # Hessian's eigenvalue says little. Few nodes have labels: loosely coupled networks learn both
    # halves by heart, and alphas see no generalisation: so the coupling grows.
    optimiser = OptimiserSettings(
        weights=0.01, alpha=0.01, weight_decay=5e-4, weights_optimizer="adam"
    )
    return OneShotSettings(
        method,
        16,
        optimiser=optimiser,
        coupling=Coupling(growth=1.04, largest=100.0),
        regularisation=Regularisation(warmup=4),
        eigenvalues=False,
    )


def settings_of_version_0_1(
    *arguments: Any,
    rates: OptimiserSettings | None = None,
    cures: Regularisation | None = None,
    **others: Any,
) -> OneShotSettings:
    """`OneShotSettings` by the argument names of version 0.1; deprecated."""
    renamed: dict[str, Any] = {"optimiser": rates, "regularisation": cures}
    others |= {name: value for name, value in renamed.items() if value is not None}
    return OneShotSettings(*arguments, **others)
