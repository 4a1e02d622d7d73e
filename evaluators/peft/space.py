"""The space of fine-tuning configurations, assembled from the methods' descriptions.

Everything below the method is conditional on it, learning rates above all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ...common.errors import SpaceError, unknown_name
from ...spaces import Condition, Config, Parameter, Space
from .method import LearningRates, Method, one_of
from .registry import METHODS, method_named

LAYER = "layer_lo"
"""The first block that a method touches. Where a limit raises its start to 3, the parameter is
``layer_lo_from_3``, with this name as its alias: one parameter cannot have two ranges."""

_FIRST = (
    *("probe", "lora", "adapter", "lst", "full", "top-k", "bitfit", "ia3", "prefix", "mam"),
    *("dept", "sparse", "unipt", "sherl", "vqt", "compacter"),
)
"""The order in which version 0.1.0 offered the methods; the hashes of stored spaces hang on it."""

_COMMON: dict[str, BaseDistribution] = {
    "head_rate": FloatDistribution(0.1, 100.0, log=True),
    "head_init": one_of("random", "probe"),
    "head_dropout": one_of(0.0, 0.1, 0.3),
    "weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
    "batch": one_of(8, 16, 32),
}
"""What all methods share. ``head_rate`` is the head's learning rate in parts of the method's."""

_USUAL: Config = {
    "head_rate": 1.0,
    "head_init": "probe",
    "head_dropout": 0.1,
    "weight_decay": 0.01,
    "batch": 16,
}
"""Their values in default configurations."""


def searchable() -> list[str]:
    """The methods that can be searched."""
    return [name for name, method in METHODS.items() if method.ranges is not None]


def usual_methods() -> tuple[str, ...]:
    """The methods that are searched by default, one or two of each family."""
    searched = [name for name, method in METHODS.items() if method.searched]
    return tuple(sorted(searched, key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST)))


def peft_space(
    layers: int = 6,
    methods: Collection[str] | None = None,
    lowest: Mapping[str, int] | None = None,
    keep: Callable[[Config], bool] = lambda config: True,
) -> Space:
    """The fine-tuning configurations of a backbone.

    Dimensions: the method; its knobs (named ``METHOD_KNOB``); the learning rate of its family; the
    first layer that it touches; the head's learning rate in parts of the method's, initialisation
    and dropout; weight decay; batch. Epochs and the share of the data are the fidelity.

    Args:
        layers: Blocks of the backbone.
        methods: What is searched, of `searchable`; by default `usual_methods`.
        lowest: The first layer from which a method may reach upwards, where a limit forbids lower
            ones; 0 where it is missing.
        keep: Which default configurations may stay: each begins at the lowest block with which it
            may.

    Raises:
        UnknownNameError: There is no such method.
        SpaceError: There is no method.
    """
    chosen = tuple(usual_methods() if methods is None else methods)
    for name in chosen:
        if name not in searchable():
            raise unknown_name("method", name, searchable())
    if not chosen:
        raise SpaceError("a space of fine-tuning configurations needs at least one method")
    lows = lowest or {}
    parameters = [
        Parameter("method", CategoricalDistribution(chosen)),
        *_knob_parameters(chosen),
        *_rate_parameters(chosen),
        *_layer_parameters(layers, chosen, lows),
        *_common_parameters(chosen),
    ]
    unchecked = Space("peft", parameters)
    defaults = []
    for config in _defaults(chosen):
        low = lows.get(str(config["method"]), 0)
        raised = (_from_layer(low, config, start) for start in _starts(config, layers))
        fitting = (c for c in raised if _fits(unchecked, c) and keep(c))
        defaults += [c for c in (next(fitting, None),) if c is not None]
    default = defaults[0] if defaults else None
    return Space("peft", parameters, default=default, more_defaults=defaults[1:])


def _knob_parameters(methods: tuple[str, ...]) -> list[Parameter]:
    return [
        Parameter(knob_name(name, knob), distribution, Condition("method", (name,)))
        for name in methods
        for knob, distribution in (METHODS[name].ranges or {}).items()
    ]


def _rate_parameters(methods: tuple[str, ...]) -> list[Parameter]:
    """One learning rate a family, in the order of `METHODS`."""
    families: dict[LearningRates, list[str]] = {}
    for name, method in METHODS.items():
        if method.rates is not None and name in methods:
            families.setdefault(method.rates, []).append(name)
    return [
        Parameter(
            rates.parameter,
            FloatDistribution(rates.low, rates.high, log=True),
            Condition("method", tuple(members)),
        )
        for rates, members in families.items()
    ]


def _layer_parameters(
    layers: int, methods: tuple[str, ...], lowest: Mapping[str, int]
) -> list[Parameter]:
    """``layer_lo`` for methods that may start at the bottom; one more for each higher start."""
    ranged = [name for name in methods if METHODS[name].ranged]
    parameters = []
    for low in sorted({lowest.get(name, 0) for name in ranged}):
        members = tuple(name for name in ranged if lowest.get(name, 0) == low)
        parameters.append(
            Parameter(
                _layer_name(low),
                IntDistribution(low, layers - 1),
                Condition("method", members),
                alias=None if low == 0 else LAYER,
            )
        )
    return parameters


def _common_parameters(methods: tuple[str, ...]) -> list[Parameter]:
    trained = tuple(name for name in methods if METHODS[name].rates is not None)
    if not trained:
        return []
    return [Parameter(name, d, Condition("method", trained)) for name, d in _COMMON.items()]


# Default configurations ---------------------------------------------------------------------------


def _defaults(methods: tuple[str, ...]) -> list[Config]:
    """Configurations that are known to be good; the probe, one forward pass, comes first."""
    return [
        _default(METHODS[name])
        for name in dict.fromkeys((*usual_methods(), *METHODS))
        if name in methods and METHODS[name].default is not None
    ]


def _default(method: Method) -> Config:
    default = method.default
    assert default is not None
    config: Config = {"method": method.name}
    config |= {knob_name(method.name, knob): value for knob, value in default.knobs.items()}
    if method.rates is not None and default.learning_rate is not None:
        config |= {method.rates.parameter: default.learning_rate, **_USUAL, **default.common}
    return config | ({LAYER: 0} if method.ranged else {})


def _starts(config: Config, layers: int) -> range:
    """The blocks at which a configuration may begin, its own first."""
    start = int(config.get(LAYER, 0))
    return range(start, layers if LAYER in config else start + 1)


def _from_layer(low: int, config: Config, start: int) -> Config:
    """A configuration that begins at a block, in a space whose first one for the method is low."""
    if LAYER not in config:
        return config
    rest = {name: value for name, value in config.items() if name != LAYER}
    return {**rest, _layer_name(low): start}


def _fits(space: Space, config: Config) -> bool:
    try:
        space.validate(config)
    except ValueError:
        return False
    return True


# Reading configurations ---------------------------------------------------------------------------


def knob_name(method: str, knob: str) -> str:
    """The name of a method's knob as a parameter of the space."""
    return f"{method.replace('-', '_')}_{knob}"


def _layer_name(low: int) -> str:
    return LAYER if low == 0 else f"{LAYER}_from_{low}"


@dataclass(frozen=True)
class MethodChoice:
    """What a configuration says about the method.

    Attributes:
        method: Its name.
        knobs: Its knobs.
        layer_lo: The first layer that it touches.
        learning_rate: Of the method; 0 for the probe, which is solved for.
    """

    method: str
    knobs: dict[str, Any]
    layer_lo: int
    learning_rate: float


def method_of(config: Mapping[str, Any]) -> MethodChoice:
    """The method of a configuration, with its knobs as the method takes them.

    Raises:
        UnknownNameError: There is no such method.
    """
    method = method_named(str(config["method"]))
    layer = next((v for k, v in config.items() if k.startswith(LAYER)), 0)
    rate = 0.0 if method.rates is None else config[method.rates.parameter]
    knobs = {knob: config[knob_name(method.name, knob)] for knob in method.ranges or {}}
    return MethodChoice(method.name, knobs, int(layer), float(rate))
