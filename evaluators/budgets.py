"""What budgets of trainings have in common."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import EvaluationError


def check_positive(budget: object, names: Iterable[str]) -> None:
    """See that numbers of a budget are positive; ``None`` means no bound.

    Raises:
        EvaluationError: One is not.
    """
    for name in names:
        value = getattr(budget, name)
        if value is not None and value <= 0:
            raise EvaluationError(f"a budget has {name} {value}: give more than 0")
