"""The space of fine-tuning configurations: a method, its knobs, where, and at which learning rate.

Everything below the method is conditional on it. Learning rates are, above all: at one rate for
all, methods cannot be compared (prompt tuning moves by tens of points through its rate alone).
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

from ..common.errors import SpaceError, unknown_name
from .parameter import Condition, Config, Parameter
from .space import Space


def _size(low: int, high: int) -> IntDistribution:
    return IntDistribution(low, high, log=True)


def _one_of(*values: str | int | float | bool) -> CategoricalDistribution:
    return CategoricalDistribution(values)


_DROPOUT = {"dropout": _one_of(0.0, 0.1)}
_RANK = {"rank": _size(1, 64), "alpha": _one_of(0.5, 1.0, 2.0, 4.0)}
_WHERE = {"where": _one_of("qv", "attention", "ffn", "all")}

KNOBS: dict[str, dict[str, BaseDistribution]] = {
    "probe": {"regularisation": FloatDistribution(1.0, 1e4, log=True)},
    "full": {},
    "top-k": {"layers": IntDistribution(1, 4)},
    "bitfit": {},
    "layernorm": {},
    "adapter": {
        "bottleneck": _size(8, 256),
        "place": _one_of("ffn", "attention", "both"),
        "form": _one_of("parallel", "serial"),
        "activation": _one_of("relu", "gelu"),
        "scale": _one_of(1.0, 2.0, 4.0),
        "share": _one_of("none", "down", "both"),
        **_DROPOUT,
    },
    "compacter": {"bottleneck": _one_of(16, 32, 64), "phm": _one_of(2, 4, 8)},
    "lora": {**_RANK, **_WHERE, **_DROPOUT},
    "ia3": {},
    "prefix": {"length": _size(2, 64)},
    "mam": {
        "length": _size(2, 32),
        "bottleneck": _size(8, 256),
        "scale": _one_of(1.0, 2.0, 4.0),
    },
    "prompt": {"length": _size(2, 64)},
    "dept": {
        "length": _size(2, 32),
        "rank": _size(2, 32),
        "rate_ratio": FloatDistribution(1e-3, 1.0, log=True),
    },
    "apt": {"length": _size(2, 64), "rank": _size(2, 32), "scale": _one_of(0.5, 1.0, 2.0)},
    "p-adapter": {
        "p": FloatDistribution(1.0, 3.0),
        "bottleneck": _size(8, 256),
        "mu": FloatDistribution(0.1, 10.0, log=True),
    },
    "petalface": {"rank": _size(1, 32), "second_rank": _size(1, 32), **_WHERE},
    "das": {"skip": IntDistribution(1, 2), "bottleneck": _size(8, 256)},
    "sparse": {
        "density": FloatDistribution(1e-3, 0.3, log=True),
        "first_share": _one_of(0.3, 0.5),
    },
    "lst": {"reduction": _one_of(2, 4, 8, 16, 32), "temperature": _one_of(0.1, 1.0)},
    "unipt": {"reduction": _one_of(2, 4, 8, 16), "gate": _one_of("softmax", "sigmoid")},
    "sherl": {
        "late": IntDistribution(1, 4),
        "reduction": _one_of(2, 4, 8, 16),
        "temperature": _one_of(0.1, 1.0),
    },
    "vqt": {"tokens": _size(1, 16), "aggregation": _one_of("mean", "concat")},
}
"""Each method's knobs, as `bequest.evaluators.peft` takes them; `method_of` brings them there."""

RATES: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "full": (1e-5, 5e-4, ("full", "top-k")),
    "adapter": (1e-4, 1e-2, ("adapter", "compacter", "mam", "apt", "p-adapter", "das")),
    "lora": (2e-4, 1e-2, ("lora", "petalface")),
    "ia3": (1e-3, 5e-2, ("ia3",)),
    "bitfit": (3e-4, 1e-2, ("bitfit", "layernorm")),
    "prompt": (1e-3, 3e-1, ("prefix", "prompt", "dept")),
    "sparse": (1e-5, 1e-3, ("sparse",)),
    "side": (3e-4, 1e-2, ("lst", "unipt", "sherl", "vqt")),
}
"""Families of methods with the range of their learning rates."""

WHOLE = ("probe", "prompt", "dept", "top-k", "sherl", "das")
"""Methods that are not put on a range of layers."""

USUAL = (
    *("probe", "lora", "adapter", "lst", "full", "top-k", "bitfit", "ia3", "prefix", "mam"),
    *("dept", "sparse", "unipt", "sherl", "vqt", "compacter"),
)
"""The methods that are searched by default, one or two of each family."""

_COMMON: Config = {"head_rate": 1.0, "head_init": "probe", "weight_decay": 0.01}
_COMMON |= {"head_dropout": 0.1, "batch": 16}

DEFAULTS: tuple[Config, ...] = (
    {"method": "probe", "probe_regularisation": 300.0},
    {
        "method": "lora",
        "lora_rank": 8,
        "lora_alpha": 2.0,
        "lora_where": "qv",
        "lora_dropout": 0.0,
        "learning_rate_lora": 2e-3,
        "layer_lo": 0,
        **_COMMON,
    },
    {
        "method": "adapter",
        "adapter_bottleneck": 192,
        "adapter_place": "ffn",
        "adapter_form": "parallel",
        "adapter_activation": "relu",
        "adapter_scale": 4.0,
        "adapter_share": "none",
        "adapter_dropout": 0.0,
        "learning_rate_adapter": 1e-3,
        "layer_lo": 0,
        **_COMMON,
    },
    {
        "method": "lst",
        "lst_reduction": 8,
        "lst_temperature": 0.1,
        "learning_rate_side": 3e-3,
        "layer_lo": 0,
        **_COMMON,
    },
    {"method": "full", "learning_rate_full": 1e-4, "layer_lo": 0, **_COMMON, "head_rate": 10.0},
)
"""Configurations that are known to be good, tried first: the probe is one forward pass."""


def peft_space(
    layers: int = 6,
    methods: Collection[str] = USUAL,
    lowest: Mapping[str, int] | None = None,
    keep: Callable[[Config], bool] = lambda config: True,
) -> Space:
    """The fine-tuning configurations of a backbone.

    Dimensions: the method; its knobs (named ``METHOD_KNOB``); the learning rate of its family; the
    first layer that it touches; the head's learning rate in parts of the method's, initialisation
    and dropout; weight decay; batch. Epochs and the share of the data are the fidelity.

    Args:
        layers: Blocks of the backbone.
        methods: What is searched, of `KNOBS`.
        lowest: The first layer from which a method may reach upwards, where a limit forbids lower
            ones; 0 where it is missing.
        keep: Which default configurations may stay: each begins at the lowest block with which it
            may.

    Raises:
        UnknownNameError: There is no such method.
        SpaceError: There is no method.
    """
    chosen = tuple(methods)
    for method in chosen:
        if method not in KNOBS:
            raise unknown_name("method", method, KNOBS)
    if not chosen:
        raise SpaceError("a space of fine-tuning configurations needs at least one method")
    parameters = [Parameter("method", CategoricalDistribution(chosen))]
    for method in chosen:
        parameters += [
            Parameter(knob_name(method, knob), distribution, Condition("method", (method,)))
            for knob, distribution in KNOBS[method].items()
        ]
    for family, (low, high, members) in RATES.items():
        held = tuple(m for m in members if m in chosen)
        if held:
            rate = FloatDistribution(low, high, log=True)
            parameters.append(Parameter(f"learning_rate_{family}", rate, Condition("method", held)))
    parameters += _layer_parameters(layers, chosen, lowest or {})
    parameters += _common(tuple(m for m in chosen if m != "probe"))
    known = Space("peft", parameters)
    lows = lowest or {}
    raised = [
        [_from_layer(lows.get(str(c["method"]), 0), c, lo) for lo in _starts(c, layers)]
        for c in DEFAULTS
        if c["method"] in chosen
    ]
    found = (next((c for c in each if _fits(known, c) and keep(c)), None) for each in raised)
    fitting = [config for config in found if config is not None]
    default = fitting[0] if fitting else None
    return Space("peft", parameters, default=default, more_defaults=fitting[1:])


def _layer_parameters(
    layers: int, methods: tuple[str, ...], lowest: Mapping[str, int]
) -> list[Parameter]:
    """``layer_lo`` for methods that may start at the bottom; one more for each higher start."""
    found = []
    ranged = [m for m in methods if m not in WHOLE]
    for low in sorted({lowest.get(m, 0) for m in ranged}):
        held = tuple(m for m in ranged if lowest.get(m, 0) == low)
        name, alias = ("layer_lo", None) if low == 0 else (f"layer_lo_from_{low}", "layer_lo")
        values = IntDistribution(low, layers - 1)
        found.append(Parameter(name, values, Condition("method", held), alias))
    return found


def _starts(config: Config, layers: int) -> range:
    """The blocks at which a configuration may begin, its own first."""
    own = int(config.get("layer_lo", 0))
    return range(own, layers if "layer_lo" in config else own + 1)


def _from_layer(low: int, config: Config, start: int) -> Config:
    """A configuration that begins at a block, in a space whose first one for the method is low."""
    if "layer_lo" not in config:
        return config
    rest = {name: value for name, value in config.items() if name != "layer_lo"}
    return {**rest, ("layer_lo" if low == 0 else f"layer_lo_from_{low}"): start}


def _common(methods: tuple[str, ...]) -> list[Parameter]:
    if not methods:
        return []
    choices: dict[str, BaseDistribution] = {
        "head_rate": FloatDistribution(0.1, 100.0, log=True),
        "head_init": _one_of("random", "probe"),
        "head_dropout": _one_of(0.0, 0.1, 0.3),
        "weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
        "batch": _one_of(8, 16, 32),
    }
    return [Parameter(n, d, Condition("method", methods)) for n, d in choices.items()]


def _fits(space: Space, config: Config) -> bool:
    try:
        space.validate(config)
    except ValueError:
        return False
    return True


def knob_name(method: str, knob: str) -> str:
    """The name of a method's knob as a parameter of the space."""
    return f"{method.replace('-', '_')}_{knob}"


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
    """The method of a configuration, with its knobs as the method takes them."""
    method = str(config["method"])
    names = {knob: knob_name(method, knob) for knob in KNOBS[method]}
    layer = next((v for k, v in config.items() if k.startswith("layer_lo")), 0)
    rate = next((v for k, v in config.items() if k.startswith("learning_rate_")), 0.0)
    knobs = {knob: config[name] for knob, name in names.items()}
    return MethodChoice(method, knobs, int(layer), float(rate))


def smallest(method: str) -> list[dict[str, Any]]:
    """A method's knobs at their cheapest; several where one cost has its least here, one there.

    Sizes at their lowest, choices at their first; reductions and shared parts at their last.
    """
    found: dict[str, Any] = {}
    for knob, distribution in KNOBS[method].items():
        if isinstance(distribution, CategoricalDistribution):
            found[knob] = distribution.choices[-1 if knob in ("reduction", "share") else 0]
        else:
            assert isinstance(distribution, (IntDistribution, FloatDistribution))
            found[knob] = distribution.low
    return [{**found, **other} for other in _RIVALS.get(method, [{}])]


_RIVALS: dict[str, list[dict[str, Any]]] = {
    "lora": [{"where": "qv"}, {"where": "ffn"}],
    "petalface": [{"where": "qv"}, {"where": "ffn"}],
    "sherl": [{"late": late} for late in (1, 2, 3, 4)],
    "das": [{"skip": 1}, {"skip": 2}],
}
"""Choices of which one has fewer parameters, another fewer activations or operations."""
