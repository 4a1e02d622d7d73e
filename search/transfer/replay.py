"""What a bank would have saved: every task of it searched again as if it were new.

The search is replayed on what the bank holds of the task, so it costs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...banks.scores import Scores
from ...common.errors import BankError
from ...common.threads import one_thread
from ..samplers.transfer_gp import InheritingProcess
from ..surrogates.configurations import Inputs, Surrogate
from ..surrogates.transfer_prior import Inheritance
from ..surrogates.transforms import warp

METHODS = ("random", "gp", "transfer")
LEAST_TASKS, LEAST_DESIGNS = 3, 20
GOOD = 0.05
"""A trial is good when it is among so large a share of what the bank holds of the task."""

RANDOM_STARTS = 5
"""The plain process begins with so many random trials, as `GPSampler` does."""


@dataclass(frozen=True)
class Rehearsal:
    """One search, replayed.

    Attributes:
        task: The task that played the new one.
        method: How it was searched.
        trials: How many trials until a good one; budget + 1 where there was none.
        regret: Share of the way from the median to the best that was left after five trials.
    """

    task: str
    method: str
    trials: int
    regret: float


def rehearse(scores: Scores, *, budget: int = 30, seeds: int = 10) -> Iterator[Rehearsal]:
    """Leave one task out, in turn.

    Args:
        scores: What the bank's tasks say of one space.
        budget: Trials of a search.
        seeds: Repetitions of the methods that draw at random.

    Raises:
        BankError: There are too few tasks to leave one out, no trials, or no repetitions.
    """
    if budget < 1 or seeds < 1:
        raise BankError(f"{budget} trials and {seeds} seeds: a rehearsal needs 1 of each at least")
    names = candidates(scores)
    if len(names) < LEAST_TASKS:
        raise BankError(
            f"the bank holds {len(names)} tasks with {LEAST_DESIGNS} designs of space "
            f"{scores.space.name!r}; {LEAST_TASKS} are needed to leave one out"
        )
    return _rehearsals(scores, names, budget, seeds)


def _rehearsals(scores: Scores, names: list[str], budget: int, seeds: int) -> Iterator[Rehearsal]:
    for name in names:
        values = scores.values[[task.name for task in scores.tasks].index(name)]
        known = np.flatnonzero(~np.isnan(values))
        pool = _Pool(scores, known, values[known])
        with one_thread():
            inheritance = Inheritance(scores.without([name]))
            yield pool.replay(name, "transfer", budget, pool.inherited(inheritance))
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                order = rng.permutation(len(known))
                yield pool.replay(name, "random", budget, _list(order))
                yield pool.replay(name, "gp", budget, pool.plain(order))


def candidates(scores: Scores) -> list[str]:
    """The tasks that can play the new one: those with enough designs."""
    return [
        task.name
        for task, row in zip(scores.tasks, scores.values, strict=True)
        if (~np.isnan(row)).sum() >= LEAST_DESIGNS
    ]


Choose = Callable[[list[int]], int]


def _list(order: np.ndarray) -> Choose:
    return lambda tried: int(order[len(tried)])


class _Pool:
    """The designs of one task, from which the replayed search may choose."""

    def __init__(self, scores: Scores, known: np.ndarray, values: np.ndarray) -> None:
        self.space = scores.space
        self.configs = [scores.configs[j] for j in known]
        self.values = values

    def replay(self, task: str, method: str, budget: int, choose: Choose) -> Rehearsal:
        tried: list[int] = []
        for _ in range(min(budget, len(self.configs))):
            tried.append(choose(tried))
        good = np.sort(self.values)[::-1][max(int(np.ceil(GOOD * len(self.values))) - 1, 0)]
        hits = np.flatnonzero(self.values[tried] >= good)
        best, median = self.values.max(), np.median(self.values)
        left = (best - self.values[tried[:5]].max()) / max(best - median, 1e-12)
        return Rehearsal(task, method, int(hits[0]) + 1 if len(hits) else budget + 1, float(left))

    def inherited(self, inheritance: Inheritance) -> Choose:
        views = inheritance.views(self.configs)

        def choose(tried: list[int]) -> int:
            if not tried:
                return int(views.mean.argmax())
            y = warp(self.values[tried])
            process = InheritingProcess(inheritance, [self.configs[i] for i in tried], y)
            return _best(process.log_expected_improvement(views, y.max()), tried)

        return choose

    def plain(self, order: np.ndarray) -> Choose:
        inputs = Inputs(self.space)
        x = inputs(self.configs)

        def choose(tried: list[int]) -> int:
            if len(tried) < RANDOM_STARTS:
                return int(order[len(tried)])
            y = warp(self.values[tried])
            surrogate = Surrogate(inputs, x[tried], y)
            with torch.no_grad():
                return _best(surrogate.log_expected_improvement(x, y.max()), tried)

        return choose


def _best(scores: torch.Tensor, tried: list[int]) -> int:
    scores[tried] = -torch.inf
    return int(scores.argmax())


def summarised(runs: list[Rehearsal]) -> dict[str, Any]:
    """Mean trials until a good one: by task and method, and over all tasks."""
    tasks: dict[str, dict[str, float]] = {}
    for task in dict.fromkeys(run.task for run in runs):
        tasks[task] = {
            method: float(np.mean([r.trials for r in runs if (r.task, r.method) == (task, method)]))
            for method in METHODS
        }
    mean = {method: float(np.mean([row[method] for row in tasks.values()])) for method in METHODS}
    return {"tasks": tasks, "mean": mean}
