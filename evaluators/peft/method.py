"""The description of a fine-tuning method: how it is attached, searched, trained, and its costs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ...spaces import Config, Value
from .handle import Handle


@dataclass(frozen=True)
class LearningRates:
    """The range of learning rates of a family of methods.

    At one rate for all, methods cannot be compared: prompt tuning moves by tens of points through
    its rate alone.

    Attributes:
        family: Names the space's parameter: ``learning_rate_FAMILY``.
        low, high: The range; searched on a logarithmic scale.
    """

    family: str
    low: float
    high: float

    @property
    def parameter(self) -> str:
        """The name of the space's parameter."""
        return f"learning_rate_{self.family}"


FULL_RATES = LearningRates("full", 1e-5, 5e-4)
ADAPTER_RATES = LearningRates("adapter", 1e-4, 1e-2)
LORA_RATES = LearningRates("lora", 2e-4, 1e-2)
PROMPT_RATES = LearningRates("prompt", 1e-3, 3e-1)
BIAS_RATES = LearningRates("bitfit", 3e-4, 1e-2)
SIDE_RATES = LearningRates("side", 3e-4, 1e-2)
"""Families of several methods; a method alone in its family has its range in its own file."""


@dataclass(frozen=True)
class Default:
    """A configuration of a method that is known to be good; it is tried first.

    Attributes:
        knobs: A value for each of the method's ranges.
        learning_rate: Of the method; ``None`` for one that is solved for.
        common: What differs from the usual values of the parameters that all methods share.
    """

    knobs: Mapping[str, Value] = field(default_factory=dict)
    learning_rate: float | None = None
    common: Config = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """All that is known of a method, apart from its code.

    Attributes:
        name: How people ask for it.
        attach: Puts it on a backbone: takes a `Site` and the knobs as keywords.
        ranges: The knobs that are searched; ``None`` for a method that is only attached by hand.
        rates: Its learning rates; ``None`` where nothing is trained (the head is solved for).
        ranged: Whether it is put on the blocks from a searched ``layer_lo`` on.
        searched: Whether it is searched by default, where no methods are named.
        default: Known to be good; ``None`` where none is.
        merges: Whether it can become weights of the backbone; ``None`` where that depends on the
            knobs.
        free: Knobs that cost nothing, whatever their value.
        cheap_last: Choices whose last value is the cheapest one, not the first.
        rivals: Knobs that have one cost at its least, where no setting has all at their least.
        density: The knob that says which share of the trained weights is kept in the end.
        prompt: The knob that counts the positions it puts before the input.
    """

    name: str
    attach: Callable[..., Handle]
    ranges: Mapping[str, BaseDistribution] | None = None
    rates: LearningRates | None = None
    ranged: bool = True
    searched: bool = False
    default: Default | None = None
    merges: bool | None = False
    free: frozenset[str] = frozenset()
    cheap_last: frozenset[str] = frozenset()
    rivals: tuple[Mapping[str, Value], ...] = ({},)
    density: str | None = None
    prompt: str | None = None

    @property
    def knobs(self) -> dict[str, Any]:
        """All knobs with their defaults, also those that are not searched."""
        return {
            p.name: p.default
            for p in inspect.signature(self.attach).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        }

    @property
    def takes_any_knob(self) -> bool:
        """Whether it takes knobs that it does not name, for a library behind it."""
        kinds = (p.kind for p in inspect.signature(self.attach).parameters.values())
        return inspect.Parameter.VAR_KEYWORD in kinds

    def cheapest(self) -> list[dict[str, Any]]:
        """Knobs at their cheapest; several where costs have their least at different ones."""
        least: dict[str, Any] = {}
        for knob, distribution in (self.ranges or {}).items():
            if isinstance(distribution, CategoricalDistribution):
                least[knob] = distribution.choices[-1 if knob in self.cheap_last else 0]
            else:
                assert isinstance(distribution, (IntDistribution, FloatDistribution))
                least[knob] = distribution.low
        return [{**least, **rival} for rival in self.rivals]


# Ranges as the methods write them -----------------------------------------------------------------


def size(low: int, high: int) -> IntDistribution:
    """Whole numbers on a logarithmic scale."""
    return IntDistribution(low, high, log=True)


def one_of(*values: Value) -> CategoricalDistribution:
    """One of a few values."""
    return CategoricalDistribution(values)


DROPOUT = {"dropout": one_of(0.0, 0.1)}
WHERE = {"where": one_of("qv", "attention", "ffn", "all")}
CHEAPEST_WHERE: tuple[Mapping[str, Value], ...] = ({"where": "qv"}, {"where": "ffn"})
"""Of ``where``: queries and values have the fewest parameters, feed-forward the fewest states."""
