"""A pruner for learning curves that cross: it asks where a curve will end, not where it is.

Methods learn at their own pace: full fine-tuning is behind after one epoch and among the best after
three, so a rung that compares values drops what would have won. Here the complete trials say
how much a curve of this kind still gains from this step on, and a training ends early only where
its end would hardly be the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import t as student

from ...spaces import Space
from .hyperband import is_worth_pruning

CHANCE = 0.05
"""A training goes on while its chance of becoming the best is at least this."""

LEAST_FREEDOM = 3
"""Degrees of freedom below which nothing is said of any curve."""


class ForecastPruner(BasePruner):
    """Ends a training whose forecast leaves it less than ``chance`` to become the best.

    The end of a curve is predicted by a straight line from its value at the last step: a slope that
    all complete trials share, an intercept for each group (a method, say). Trials of a group none
    of which is complete are never pruned. A prediction's spread is Student's, with the residuals'
    variance.

    Args:
        group: The parameter that says which trials learn alike; ``None``: all do.
        chance: See above.
    """

    def __init__(self, group: str | None = None, chance: float = CHANCE) -> None:
        self.group = group
        self.chance = chance

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None or not is_worth_pruning(study, trial):
            return False
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        curves = [
            Curve(
                self._group_of(other),
                sign * other.intermediate_values[step],
                sign * (other.value or 0.0),
            )
            for other in done
            if step in other.intermediate_values
        ]
        now = sign * trial.intermediate_values[step]
        best = max((sign * (other.value or 0.0) for other in done), default=-np.inf)
        chance = chance_to_win(curves, self._group_of(trial), now, best)
        return chance is not None and chance < self.chance

    def _group_of(self, trial: FrozenTrial) -> object:
        return None if self.group is None else trial.params.get(self.group)


@dataclass(frozen=True)
class Curve:
    """What a forecast takes of a complete trial.

    Attributes:
        group: Which trials learn like it.
        now: Its value at the step in question; higher is better.
        end: Its value in the end.
    """

    group: object
    now: float
    end: float


def chance_to_win(
    curves: Sequence[Curve], group: object, now: float, best: float = -np.inf
) -> float | None:
    """The probability that a curve ends above all that have ended.

    Args:
        curves: Of complete trials that have the step.
        group: The new curve's.
        now: Its value at the same step.
        best: The best end of trials that do not have it (a probe's, say).

    Returns:
        ``None`` where too little is known.
    """
    groups = [c.group for c in curves]
    alike = groups.count(group)
    freedom = len(curves) - len(set(groups)) - 1
    if not alike or freedom < LEAST_FREEDOM:
        return None
    x = np.array([c.now for c in curves])
    y = np.array([c.end for c in curves])
    mean_x, mean_y = _means(x, groups), _means(y, groups)
    dx, dy = x - mean_x, y - mean_y
    spread = float(dx @ dx)
    slope = float(dx @ dy) / spread if spread > 0 else 1.0
    variance = float(np.square(dy - slope * dx).sum()) / freedom
    own = groups.index(group)
    end = mean_y[own] + slope * (now - mean_x[own])
    far = (now - mean_x[own]) ** 2 / spread if spread > 0 else 0.0
    deviation = np.sqrt(variance * (1 + 1 / alike + far))
    best = max(best, float(y.max()))
    if deviation == 0:
        return float(end > best)
    return float(student.sf((best - end) / deviation, freedom))


def _means(values: np.ndarray, groups: Sequence[object]) -> np.ndarray:
    """The mean of each value's group ``[n]``."""
    found = np.empty(len(values))
    for group in set(groups):
        members = [g == group for g in groups]
        found[members] = values[members].mean()
    return found


def grouping(space: Space) -> str | None:
    """The choice on which most others hang: what has it in common learns alike."""
    hanging = [p.condition.parameter for p in space.parameters if p.condition is not None]
    return max(dict.fromkeys(hanging), key=hanging.count, default=None)
