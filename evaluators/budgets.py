"""Helpers for the budgets of trainings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from ..common.errors import EvaluationError


def check_positive(budget: object, names: Iterable[str]) -> None:
    """Check that numbers of a budget are positive; ``None`` means no bound.

    Raises:
        EvaluationError: One is not.
    """
    for name in names:
        value = getattr(budget, name)
        if value is not None and value <= 0:
            raise EvaluationError(f"a budget has {name} {value}: give more than 0")


def unusual(budget: Any, usual: Any) -> dict[str, Any]:
    """The fields of a budget that differ from the default's; those of nested budgets by path.

    Values are as JSON stores them.

    Example:
        >>> from bequest.evaluators.text.training import TextBudget
        >>> unusual(TextBudget(epochs=5), TextBudget())
        {'epochs': 5}
    """
    differing: dict[str, Any] = {}
    for field in fields(usual):
        value, other = getattr(budget, field.name), getattr(usual, field.name)
        if is_dataclass(other):
            inner = unusual(value, other)
            differing |= {f"{field.name}.{name}": each for name, each in inner.items()}
        elif value != other:
            differing[field.name] = list(value) if isinstance(value, tuple) else value
    return differing


def epochs_of(evaluator: object) -> int | None:
    """How many epochs each training of an evaluator has; ``None`` where it has no budget."""
    epochs = getattr(getattr(evaluator, "budget", None), "epochs", None)
    return epochs if isinstance(epochs, int) else None
