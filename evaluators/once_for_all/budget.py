"""Budgets of the trainings in an elastic space."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..image.training import Budget
from .training import Shrinking


@dataclass(frozen=True)
class ElasticBudget:
    """What the once-for-all network and each fine-tuning may cost; the defaults fit a CPU core.

    Attributes:
        shrinking: The training of the once-for-all network; its ``images`` are split into the
            training and validation parts of everything.
        fine_tuning: Of each network that is measured; its ``images`` are of the training part, its
            ``size`` is that of all images.
        keeping: Of a network that is kept (`fit`), in its place; the size stays that of all images.
        judging: So many validation images judge a network that is not fine-tuned.
    """

    shrinking: Shrinking = field(default_factory=Shrinking)
    fine_tuning: Budget = field(
        default_factory=lambda: Budget(1, 5_000, None, learning_rate=0.01, weight_decay=1e-5)
    )
    keeping: Budget = field(
        default_factory=lambda: Budget(2, None, None, learning_rate=0.01, weight_decay=1e-5)
    )
    judging: int = 3_000
