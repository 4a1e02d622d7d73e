"""What can be chosen: a space of configurations.

A space is an ordered tuple of parameters, each an Optuna distribution with an optional condition on
an earlier one. A configuration is a plain dict that holds the *active* parameters only.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    distribution_to_json,
    json_to_distribution,
)

from ..common.errors import ConfigurationError, SpaceError, unknown_name
from .encoding import Encoding, choices, draw, scale
from .parameter import Condition, Config, Parameter, Value, allowed, suggest

if TYPE_CHECKING:
    import optuna

KINDS = {"nas-bench-graph": "nas_bench_graph:NasBenchGraphSpace"}
"""Spaces that know more than their parameters say, by ``kind``: ``module:class`` in this package.

Each is made without arguments.
"""

STORED_ALIASES = {"peft": (re.compile(r"layer_lo_from_\d+"), "layer_lo")}
"""Aliases in spaces that version 0.1.0 stored, by the space's name: pattern and alias.

It wrote no alias, and took every name that ends in ``_from_3`` for one. The only space of its own
with such names was ``peft``, so they are read as aliases there and nowhere else.
"""


class Space:
    """The configurations there are.

    Args:
        name: What the space is called, for example ``"gnn"``.
        parameters: The choices, in the order in which they are made.
        default: A configuration that is known to be sensible; samplers may try it first.
        more_defaults: Others to try after it, in this order.

    Raises:
        SpaceError: Two parameters share a name, or a condition does not name an earlier parameter.

    Example:
        >>> space = Space("toy", [
        ...     Parameter("layer", CategoricalDistribution(["gcn", "gat"])),
        ...     Parameter("heads", IntDistribution(1, 8), Condition("layer", ("gat",))),
        ... ])
        >>> space.size
        9
        >>> space.validate({"layer": "gat", "heads": 4})
        {'layer': 'gat', 'heads': 4}
    """

    kind: ClassVar[str] = "space"
    """What `from_json` makes again: a plain space, or one of `KINDS`."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[Parameter],
        *,
        default: Config | None = None,
        more_defaults: Sequence[Config] = (),
    ) -> None:
        self.name = name
        self.parameters = tuple(parameters)
        self._by_name = {p.name: p for p in self.parameters}
        self._check()
        self.default = None if default is None else self.validate(default)
        first = () if self.default is None else (self.default,)
        self.defaults: tuple[Config, ...] = (
            *first,
            *(self.validate(config) for config in more_defaults),
        )

    def _check(self) -> None:
        seen: set[str] = set()
        for parameter in self.parameters:
            if parameter.name in seen:
                raise SpaceError(f"space {self.name!r} has two parameters {parameter.name!r}")
            condition = parameter.condition
            if condition is not None:
                if condition.parameter not in seen:
                    raise SpaceError(
                        f"parameter {parameter.name!r} depends on {condition.parameter!r}, "
                        "which does not stand before it"
                    )
                for value in condition.values:
                    self._check_value(self._by_name[condition.parameter], value)
            seen.add(parameter.name)

    # Choosing -----------------------------------------------------------------------------------

    def is_active(self, parameter: Parameter, config: Mapping[str, Value]) -> bool:
        """Whether ``parameter`` is asked, given the choices before it."""
        condition = parameter.condition
        return condition is None or (
            condition.parameter in config and config[condition.parameter] in condition.values
        )

    def suggest(self, trial: optuna.trial.BaseTrial) -> Config:
        """Ask an Optuna trial for a configuration."""
        config: Config = {}
        for p in self.parameters:
            if self.is_active(p, config):
                config[p.name] = suggest(trial, p.name, p.distribution)
        return config

    def sample(self, rng: np.random.Generator, given: Mapping[str, Value] | None = None) -> Config:
        """Draw a configuration; what ``given`` says of active parameters is kept."""
        config: Config = {}
        for p in self.parameters:
            if self.is_active(p, config):
                is_given = given is not None and p.name in given
                config[p.name] = given[p.name] if given and is_given else draw(p.distribution, rng)
        return config

    def distributions(self, config: Mapping[str, Value]) -> dict[str, BaseDistribution]:
        """The Optuna distribution of each parameter that ``config`` holds."""
        return {name: self._by_name[name].distribution for name in config}

    def by_choice(self, config: Mapping[str, Value]) -> Config:
        """The values of a configuration by `Parameter.choice` instead of by name."""
        return {p.choice: config[p.name] for p in self.parameters if p.name in config}

    # Checking -----------------------------------------------------------------------------------

    def validate(self, config: Mapping[str, Value]) -> Config:
        """Check a configuration and return it in the space's order.

        Raises:
            ConfigurationError: It names the parameter, the value and what is allowed.
        """
        checked: Config = {}
        for p in self.parameters:
            if not self.is_active(p, checked):
                if p.name in config:
                    condition = p.condition
                    assert condition is not None
                    raise ConfigurationError(
                        f"parameter {p.name!r} is inactive unless {condition.parameter!r} "
                        f"is one of {list(condition.values)}: leave it out"
                    )
            elif p.name not in config:
                raise ConfigurationError(
                    f"parameter {p.name!r} is missing: give {allowed(p.distribution)}"
                )
            else:
                checked[p.name] = self._check_value(p, config[p.name])
        for name in config:
            if name not in self._by_name:
                raise ConfigurationError(
                    f"unknown parameter {name!r}: space {self.name!r} has "
                    f"{', '.join(self._by_name)}"
                )
        return checked

    def _check_value(self, parameter: Parameter, value: Value) -> Value:
        distribution = parameter.distribution
        try:
            if not isinstance(distribution, CategoricalDistribution) and (
                isinstance(value, (str, bool)) or not math.isfinite(value)
            ):
                raise ValueError(value)
            internal = distribution.to_internal_repr(value)
            if not distribution._contains(internal):
                raise ValueError(value)
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"parameter {parameter.name!r} is {value!r}: allowed is {allowed(distribution)}"
            ) from None
        checked: Value = distribution.to_external_repr(internal)
        return checked

    # Models, not points -------------------------------------------------------------------------

    def canonical(self, config: Config) -> Config:
        """The one configuration that stands for all that build the same model.

        The identity unless a space knows better (two links that build one network).
        """
        return config

    def key(self, config: Config) -> str:
        """One string for all configurations that build the same model."""
        return repr(sorted(self.canonical(config).items()))

    def features(self, configs: Sequence[Config]) -> np.ndarray | None:
        """Non-negative counts ``[n, f]`` that describe the built models, where a space has them.

        A surrogate may compare models by these beside the encoded choices.
        """
        return None

    # Numbers ------------------------------------------------------------------------------------

    def encode(self, configs: Sequence[Mapping[str, Value]]) -> Encoding:
        """Configurations as arrays ``[n, d]``, one column a parameter, and the active ones' mask.

        Categorical columns hold the choice's index, numeric ones lie in [0, 1] (logarithmic where
        the distribution is); inactive entries are 0 with a False mask.
        """
        values = np.zeros((len(configs), len(self.parameters)))
        mask = np.zeros(values.shape, dtype=bool)
        for column, p in enumerate(self.parameters):
            for row, config in enumerate(configs):
                if p.name in config:
                    values[row, column] = scale(p.distribution, config[p.name])
                    mask[row, column] = True
        return Encoding(values, mask, self.categorical)

    @cached_property
    def categorical(self) -> np.ndarray:
        """Which columns of an encoding are categorical: ``[d]`` bool."""
        return np.array(
            [isinstance(p.distribution, CategoricalDistribution) for p in self.parameters]
        )

    @cached_property
    def size(self) -> int | None:
        """How many configurations there are; ``None`` for a continuous space."""
        hanging: dict[str, list[tuple[tuple[Value, ...], int]]] = {}
        total = 1
        for p in reversed(self.parameters):  # what depends on a parameter is counted before it
            options = choices(p.distribution)
            if options is None:
                return None
            below = hanging.pop(p.name, [])
            count = sum(math.prod(n for values, n in below if v in values) for v in options)
            if p.condition is None:
                total *= count
            else:
                hanging.setdefault(p.condition.parameter, []).append((p.condition.values, count))
        return total

    def enumerate(self) -> Iterator[Config]:
        """Every configuration of a finite space, in a fixed order.

        Raises:
            SpaceError: A parameter is continuous.
        """
        yield from self._enumerate({}, 0)

    def _enumerate(self, config: Config, index: int) -> Iterator[Config]:
        if index == len(self.parameters):
            yield dict(config)
            return
        p = self.parameters[index]
        if not self.is_active(p, config):
            yield from self._enumerate(config, index + 1)
            return
        options = choices(p.distribution)
        if options is None:
            raise SpaceError(f"space {self.name!r} is not finite: {p.name!r} is continuous")
        for value in options:
            yield from self._enumerate({**config, p.name: value}, index + 1)

    # Text ---------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The space as plain JSON values; `from_json` brings it back."""
        return {
            "kind": self.kind,
            "name": self.name,
            "default": self.default,
            "more_defaults": list(self.defaults[1:]),
            "parameters": [
                {
                    "name": p.name,
                    "distribution": json.loads(distribution_to_json(p.distribution)),
                    "condition": None
                    if p.condition is None
                    else {"parameter": p.condition.parameter, "values": list(p.condition.values)},
                    **({} if p.alias is None else {"alias": p.alias}),
                }
                for p in self.parameters
            ],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Space:
        """The space that `to_json` wrote, of the same class.

        Raises:
            UnknownNameError: Its kind is not one of `KINDS`.
        """
        kind = data.get("kind", Space.kind)
        if kind != Space.kind:
            if kind not in KINDS:
                raise unknown_name("kind of space", kind, [Space.kind, *KINDS])
            module, name = KINDS[kind].split(":")
            space: Space = getattr(importlib.import_module(f".{module}", __package__), name)()
            return space
        parameters = []
        for item in data["parameters"]:
            condition = item["condition"]
            parameters.append(
                Parameter(
                    item["name"],
                    json_to_distribution(json.dumps(item["distribution"])),
                    condition and Condition(condition["parameter"], tuple(condition["values"])),
                    item.get("alias") or _stored_alias(data["name"], item["name"]),
                )
            )
        more = data.get("more_defaults", ())  # studies of older versions have none
        return Space(data["name"], parameters, default=data["default"], more_defaults=more)

    @cached_property
    def hash(self) -> str:
        """A stable name for the choices there are (not for the space's name, default or aliases).

        Aliases are left out so that a study of version 0.1.0, which stored none, can be resumed.
        """
        parameters = self.to_json()["parameters"]
        for parameter in parameters:
            parameter.pop("alias", None)
        text = json.dumps(parameters, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash, 16)

    def __len__(self) -> int:
        return len(self.parameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} parameters)"


def _stored_alias(space: str, parameter: str) -> str | None:
    """The alias that a parameter has although the stored space does not mention it."""
    if space not in STORED_ALIASES:
        return None
    pattern, alias = STORED_ALIASES[space]
    return alias if pattern.fullmatch(parameter) else None
