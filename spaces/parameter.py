"""One choice of a space: a name, the values it may take, and when it is asked at all."""

from __future__ import annotations

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

Value = bool | int | float | str
Config = dict[str, Value]


@dataclass(frozen=True)
class Condition:
    """Makes a parameter active only where an earlier one takes one of ``values``."""

    parameter: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Parameter:
    """One choice: a name, the values it may take, and when it is asked at all.

    Attributes:
        name: Unique in its space.
        distribution: The values it may take.
        condition: When it is asked; ``None`` for always.
        alias: The name under which other spaces have the same choice, where it differs: a limit
            that raises the start of ``layer_lo`` to 3 makes it ``layer_lo_from_3``.
    """

    name: str
    distribution: BaseDistribution
    condition: Condition | None = None
    alias: str | None = None

    @property
    def choice(self) -> str:
        """The name by which configurations are carried from one space to another."""
        return self.alias or self.name


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
