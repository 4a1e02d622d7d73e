"""What a bank's tasks say of a space before a new task has been tried: a prior over functions.

``y(x) = a + m mu(x) + f(x) + noise``: ``mu`` is the source tasks' mean score, ``f`` a Gaussian
process whose kernel is a weighted sum of

* inner products of the tasks' scores of x, and of the predictions of a linear model of each task
  (which knows designs that the task has not seen, and is free of its noise);
* an inner product of counts that describe x, each with the variance which its effect has between
  the tasks;
* a Gaussian kernel on the scores: designs which the tasks score alike will do alike here, even
  where no sum of scores says how well;
* Gaussian kernels on the counts: what no earlier task can know.

The weights are those under which each task's values, standardised as a search will see them, are
best explained by the others, so it is the bank that says how far its tasks may be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from ...banks.scores import Scores
from ...common.errors import BankError
from ...spaces import Config, Space
from ...spaces.counts import counts
from .evidence import gaussian_terms
from .fit import minimise
from .source_views import KERNELS, SourceModels, Views, effects_of
from .transforms import gaussianised, warp

SCALES, CHOICE_SCALES = (1.5, 3.0), (1.0, 1.8)
"""Length scales of the two Gaussian kernels: on a space's own counts, on one count a choice."""

PSEUDO_TARGETS, DRAWS, SAMPLE, MANY = 24, 4, 150, 12
"""While the weights are learned: tasks that play the new one, how often each, with how many
designs. More tasks than ``MANY`` teach enough with one draw each."""

LEAST_DESIGNS, STEPS = 10, 40
"""A task with fewer designs plays no new one; L-BFGS steps at most."""

_PRIOR = -2.0
"""The mean of a kernel's log weight before the bank is asked; its deviation is 2."""


@dataclass(frozen=True)
class Weights:
    """How far each part of the prior is trusted.

    Attributes:
        kernels: Weights of the six kernels: scores, predictions, counts, scores alike; and the
            Gaussian kernels on counts with the small and the large scale.
        noise: The noise variance; scores have unit variance.
        mean: The weight of the tasks' mean score.
    """

    kernels: tuple[float, ...]
    noise: float
    mean: float


CAUTIOUS = Weights((0.1, 0.2, 0.1, 0.1, 0.1, 0.4), 0.05, 0.2)
"""Where there are too few tasks to learn from."""


class TransferPrior:
    """The prior that a bank's scores give.

    Args:
        scores: What the bank's tasks say of the space; the new task is not among them.
        relevance: How much each task matters, by name, as far as something is known beforehand
            (for example similarity of fingerprints); 1 for those that are not named.

    Raises:
        BankError: No task has scores.
    """

    def __init__(self, scores: Scores, relevance: Mapping[str, float] | None = None) -> None:
        if not scores.tasks:
            raise BankError(f"the bank says nothing of space {scores.space.name!r}")
        self.space: Space = scores.space
        self.tasks = tuple(task.name for task in scores.tasks)
        self.configs = scores.configs
        given = relevance or {}
        self.relevance = np.array([given.get(name, 1.0) for name in self.tasks])
        has_own_counts = scores.space.features([]) is not None
        self.scales = SCALES if has_own_counts else CHOICE_SCALES
        self._z = np.stack([gaussianised(row) for row in scores.values])
        self._values = scores.values
        self._counts = counts(scores.space, scores.configs)
        self._column = {scores.space.key(c): i for i, c in enumerate(scores.configs)}
        self._effects = np.stack([effects_of(self._counts, row) for row in self._z])
        self._sources = SourceModels(self._z, self._counts, self._effects, self.relevance)

    def views(self, configs: Sequence[Config]) -> Views:
        """Any configurations of the space as the source tasks see them."""
        x = counts(self.space, configs)
        columns = [self._column.get(self.space.key(c), -1) for c in configs]
        z = self._z[:, columns]
        z[:, np.array(columns, dtype=int) < 0] = np.nan
        return self._sources.views(x, z)

    def with_relevance(self, relevance: Mapping[str, float]) -> TransferPrior:
        """The same prior when something is known of how much each task matters."""
        other = copy(self)
        other.relevance = np.array([relevance.get(name, 1.0) for name in self.tasks])
        other._sources = SourceModels(self._z, self._counts, self._effects, other.relevance)
        other.__dict__.pop("bank_views", None)  # what was learned of the bank's weights stays
        return other

    @cached_property
    def bank_views(self) -> Views:
        """The bank's own configurations."""
        return self._sources.views(self._counts, self._z)

    @cached_property
    def weights(self) -> Weights:
        """The weights under which the bank's tasks explain each other best."""
        tasks = len(self._z)
        if tasks < 3:
            return CAUTIOUS
        return _largest_posterior(self._pseudo_problems())

    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """How far a task's score of a design moves `Views.scores` and `Views.mean`: ``[tasks]``."""
        return self._sources.roots, self._sources.shares / self._sources.size

    def source_scores(self, config: Config) -> dict[str, float]:
        """Each task's score of a configuration, by name: Gaussian ranks, 0 is the median."""
        return dict(zip(self.tasks, self.views([config]).scores[0].tolist(), strict=True))

    def _pseudo_problems(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Each task in turn plays the new one, the others are the bank.

        Returns:
            Batches of problems of one size n: kernels ``[b, 6, n, n]``, mean scores ``[b, n]`` and
            values ``[b, n]``.
        """
        tasks = len(self._z)
        rng = np.random.default_rng(0)
        targets = rng.permutation(tasks)[:PSEUDO_TARGETS]
        draws = DRAWS if tasks <= MANY else 1
        problems: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for target in targets:
            scored = np.flatnonzero(~np.isnan(self._z[target]))
            if len(scored) < LEAST_DESIGNS:
                continue
            others = np.arange(tasks) != target
            z = self._z[others]
            sources = SourceModels(z, self._counts, self._effects[others], self.relevance[others])
            for _ in range(draws):
                size = min(SAMPLE, len(scored))
                drawn = rng.choice(scored, size, replace=False)
                views = sources.views(self._counts[drawn], z[:, drawn])
                kernels = views.kernels(views, self.scales)
                y = warp(self._values[target][drawn])
                problems.setdefault(size, []).append((kernels, views.mean, y))
        return [_stacked(batch) for batch in problems.values()]


@lru_cache(maxsize=4)
def transfer_prior_of(scores: Scores) -> TransferPrior:
    """The prior that scores give; the same scores are learned from once a process."""
    return TransferPrior(scores)


def _stacked(problems: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    kernels, means, values = zip(*problems, strict=True)
    return torch.stack(kernels), torch.stack(means), torch.stack(values)


def _largest_posterior(batches: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Weights:
    """Empirical Bayes: the weights of the largest posterior over all problems."""

    def negative_log_posterior(point: Tensor) -> Tensor:
        kernel_logs, noise_log, mean_weight = point[:-2], point[-2], point[-1]
        loss = (kernel_logs - _PRIOR).square().sum() / 8
        for kernels, mean, y in batches:
            identity = torch.eye(y.shape[-1], dtype=y.dtype)
            covariance = torch.einsum("k,bkij->bij", kernel_logs.exp(), kernels)
            covariance = covariance + noise_log.exp() * identity + 1.0
            half_log_determinant, half_distance = gaussian_terms(covariance, y - mean_weight * mean)
            loss = loss + half_log_determinant + half_distance
        return loss

    start = np.array([_PRIOR] * KERNELS + [-1.5, 0.2])
    bounds = [(-9.0, 3.0)] * KERNELS + [(-6.0, 1.0), (0.0, 2.0)]
    *kernels, noise, mean = minimise(negative_log_posterior, start, bounds, STEPS).tolist()
    return Weights(tuple(np.exp(kernels).tolist()), float(np.exp(noise)), float(mean))
