"""What people may ask of a fine-tuning, as its evaluators take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from ...common.errors import StudyError
from ..factory import EvaluatorOptions
from ..limits import check_limits
from ..peft.cost import LIMITED
from .training import TuningBudget

Budget = TypeVar("Budget", bound=TuningBudget)


def budget_of(usual: Budget, options: EvaluatorOptions) -> Budget:
    """The usual budget with the epochs and examples that are asked for."""
    asked: dict[str, Any] = {}
    if options.epochs is not None:
        asked["epochs"] = options.epochs
    if options.examples is not None:
        asked["examples"] = options.examples or None
    return replace(usual, **asked)


def limits_of(options: EvaluatorOptions, space: str) -> dict[str, float]:
    """The limits on the cost of a fine-tuning, by name.

    Args:
        options: With the limits.
        space: The space's name, for the message.

    Raises:
        StudyError: One is in another unit, or two have one name.
        UnknownNameError: There is no such cost.
    """
    limits = options.parsed_limits
    check_limits(limits, LIMITED)
    by_name = {limit.name: limit.value for limit in limits}
    if len(by_name) < len(limits):
        raise StudyError(f"space {space!r} takes one limit of each name: search again for another")
    return by_name
