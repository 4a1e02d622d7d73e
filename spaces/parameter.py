"""One choice of a space: a name, the values it may take, and when it is asked at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

if TYPE_CHECKING:
    import optuna

_RAISED = re.compile(r"_from_\d+$")

Value = bool | int | float | str
Config = dict[str, Value]


@dataclass(frozen=True)
class Condition:
    """Makes a parameter active only where an earlier one takes one of ``values``."""

    parameter: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Parameter:
    """One choice: a name, the values it may take, and when it is asked at all."""

    name: str
    distribution: BaseDistribution
    condition: Condition | None = None


def plain_name(name: str) -> str:
    """The name of a choice without the ``_from_3`` that says where a limit lets it begin."""
    return _RAISED.sub("", name)


def suggest(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution) -> Value:
    """Ask a trial for a value of a distribution."""
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, CategoricalDistribution)
    value: Any = trial.suggest_categorical(name, distribution.choices)
    return value  # type: ignore[no-any-return]


def allowed(distribution: BaseDistribution) -> str:
    """The values of a distribution in words."""
    if isinstance(distribution, CategoricalDistribution):
        return "one of " + ", ".join(repr(choice) for choice in distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    kind = "an integer" if isinstance(distribution, IntDistribution) else "a number"
    step = "" if distribution.step in (None, 1) else f" in steps of {distribution.step}"
    return f"{kind} from {distribution.low} to {distribution.high}{step}"
