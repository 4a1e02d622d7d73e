"""Several objectives: the task's metric, and others that are to be small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...common.errors import StudyError
from ...evaluators.task import TEST_PREFIX
from ..pareto import on_front
from .trial import COMPLETE, Trial


def check_objectives(
    minimize: Sequence[str], pruner: str, sampler: str, *, single: bool = False
) -> None:
    """Check that a study can search for all of its objectives.

    Args:
        minimize: Metrics that are to be small.
        pruner, sampler: By name.
        single: Whether the sampler optimises one objective only.

    Raises:
        StudyError: It cannot.
    """
    if not minimize:
        return
    if len({*minimize}) < len(minimize):
        raise StudyError(f"minimize names a metric twice: {', '.join(minimize)}")
    for name in minimize:
        if name.startswith(TEST_PREFIX):
            raise StudyError(
                f"minimize {name!r}: what a test says must decide nothing, or it tests no more; "
                "name a metric that is measured without it"
            )
    if pruner != "none":
        raise StudyError(
            f"pruner {pruner!r} looks at one objective, the study has {1 + len(minimize)}: leave "
            "the pruner at 'none'"
        )
    if single:
        raise StudyError(
            f"sampler {sampler!r} does not search for {', '.join(minimize)}: use gp, evolution, "
            "tpe or random, or give it limits"
        )


def front_of(trials: Iterable[Trial], direction: str, minimize: Sequence[str]) -> list[Trial]:
    """The Pareto front of the complete trials in value and some metrics, best value first.

    Of trials that are equal in all of these only the earliest is returned.
    """
    sign = -1.0 if direction == "maximize" else 1.0
    complete = [t for t in trials if t.state == COMPLETE and t.value is not None]
    complete.sort(key=lambda t: (sign * (t.value or 0.0), t.slot))
    losses = [[sign * (t.value or 0.0), *(t.metrics[name] for name in minimize)] for t in complete]
    front: dict[tuple[float, ...], Trial] = {}
    for row, trial, optimal in zip(losses, complete, on_front(np.array(losses)), strict=True):
        if optimal:
            front.setdefault(tuple(row), trial)
    return list(front.values())
