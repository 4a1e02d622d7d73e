"""What a bank would have saved: each of its tasks is left out in turn and searched as if new.

A search is replayed on what the bank holds of the task, so it costs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...banks.scores import Scores
from ...common.errors import BankError
from ...common.threads import one_thread
from ..surrogates.configurations import ConfigurationInputs, ConfigurationProcess
from ..surrogates.transfer_prior import TransferPrior
from ..surrogates.transfer_process import TransferProcess
from ..surrogates.transforms import warp

METHODS = ("random", "gp", "transfer")
LEAST_TASKS, LEAST_DESIGNS = 3, 20
GOOD = 0.05
"""A trial is good when it is in the best share of this size of what the bank holds of the task."""

RANDOM_STARTS = 5
"""The process without a bank begins with so many random trials, as `GPSampler` does."""

EARLY = 5
"""Regret is measured after so many trials."""


@dataclass(frozen=True)
class ReplayedSearch:
    """One search of a task that was left out.

    Attributes:
        task: The task.
        method: How it was searched.
        trials: How many trials until a good one; budget + 1 where there was none.
        regret: Share of the way from the median to the best that was left after `EARLY` trials.
    """

    task: str
    method: str
    trials: int
    regret: float


def leave_one_task_out(
    scores: Scores, *, budget: int = 30, seeds: int = 10
) -> Iterator[ReplayedSearch]:
    """Search each task with the others as the bank.

    Args:
        scores: What the bank's tasks say of one space.
        budget: Trials of a search.
        seeds: Repetitions of the methods that draw at random.

    Raises:
        BankError: There are too few tasks to leave one out, no trials, or no repetitions.
    """
    if budget < 1 or seeds < 1:
        raise BankError(f"{budget} trials and {seeds} seeds: a replay needs at least 1 of each")
    names = replayable(scores)
    if len(names) < LEAST_TASKS:
        raise BankError(
            f"the bank holds {len(names)} tasks with {LEAST_DESIGNS} designs of space "
            f"{scores.space.name!r}; {LEAST_TASKS} are needed to leave one out"
        )
    return _searches(scores, names, budget, seeds)


def _searches(
    scores: Scores, names: list[str], budget: int, seeds: int
) -> Iterator[ReplayedSearch]:
    for name in names:
        values = scores.values[[task.name for task in scores.tasks].index(name)]
        scored = np.flatnonzero(~np.isnan(values))
        pool = _Pool(scores, scored, values[scored])
        with one_thread():
            prior = TransferPrior(scores.without([name]))
            yield pool.replay(name, "transfer", budget, pool.with_prior(prior))
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                order = rng.permutation(len(scored))
                yield pool.replay(name, "random", budget, _in_order(order))
                yield pool.replay(name, "gp", budget, pool.without_bank(order))


def replayable(scores: Scores) -> list[str]:
    """The tasks that can play the new one: those with enough designs."""
    return [
        task.name
        for task, row in zip(scores.tasks, scores.values, strict=True)
        if (~np.isnan(row)).sum() >= LEAST_DESIGNS
    ]


Choose = Callable[[list[int]], int]
"""The next design, from those tried so far."""


def _in_order(order: np.ndarray) -> Choose:
    return lambda tried: int(order[len(tried)])


class _Pool:
    """The designs of one task, from which the replayed search chooses."""

    def __init__(self, scores: Scores, columns: np.ndarray, values: np.ndarray) -> None:
        self.space = scores.space
        self.configs = [scores.configs[j] for j in columns]
        self.values = values

    def replay(self, task: str, method: str, budget: int, choose: Choose) -> ReplayedSearch:
        tried: list[int] = []
        for _ in range(min(budget, len(self.configs))):
            tried.append(choose(tried))
        hits = np.flatnonzero(self.values[tried] >= good_value(self.values))
        best, median = self.values.max(), np.median(self.values)
        left = (best - self.values[tried[:EARLY]].max()) / max(best - median, 1e-12)
        trials = int(hits[0]) + 1 if len(hits) else budget + 1
        return ReplayedSearch(task, method, trials, float(left))

    def with_prior(self, prior: TransferPrior) -> Choose:
        views = prior.views(self.configs)

        def choose(tried: list[int]) -> int:
            if not tried:
                return int(views.mean.argmax())
            y = warp(self.values[tried])
            process = TransferProcess(prior, [self.configs[i] for i in tried], y)
            return _best(process.log_expected_improvement(views, y.max()), tried)

        return choose

    def without_bank(self, order: np.ndarray) -> Choose:
        inputs = ConfigurationInputs(self.space)
        x = inputs(self.configs)

        def choose(tried: list[int]) -> int:
            if len(tried) < RANDOM_STARTS:
                return int(order[len(tried)])
            y = warp(self.values[tried])
            process = ConfigurationProcess(inputs, x[tried], y)
            with torch.no_grad():
                return _best(process.log_expected_improvement(x, y.max()), tried)

        return choose


def good_value(values: np.ndarray) -> float:
    """The least value of the best share `GOOD` of all ``[n]``."""
    count = max(int(np.ceil(GOOD * len(values))), 1)
    return float(np.sort(values)[-count])


def _best(scores: torch.Tensor, tried: list[int]) -> int:
    scores[tried] = -torch.inf
    return int(scores.argmax())


def summarise(searches: Sequence[ReplayedSearch]) -> dict[str, Any]:
    """Mean trials until a good one: by task and method, and over all tasks."""
    tasks = {
        task: {method: _mean_trials(searches, task, method) for method in METHODS}
        for task in dict.fromkeys(search.task for search in searches)
    }
    mean = {method: float(np.mean([row[method] for row in tasks.values()])) for method in METHODS}
    return {"tasks": tasks, "mean": mean}


def _mean_trials(searches: Sequence[ReplayedSearch], task: str, method: str) -> float:
    trials = [s.trials for s in searches if (s.task, s.method) == (task, method)]
    return float(np.mean(trials))
