"""What a bank's tasks say of a space before a new task has been tried: a prior over functions.

``y(x) = a + m mu(x) + f(x) + noise``: ``mu`` is the tasks' mean opinion, ``f`` a Gaussian process
whose kernel is a weighted sum of

* inner products of the tasks' opinions of x: what each task holds of it, and what a linear model of
  that task says of it (which knows designs that the task has not seen, and is free of its noise);
* an inner product of counts that describe x, each with the variance which its effect has between
  the tasks;
* a Gaussian kernel on the opinions: designs of which the tasks thought alike will do alike here,
  even where no sum of opinions says how well;
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
from scipy.optimize import minimize
from torch import Tensor

from ...banks.scores import Scores
from ...common.errors import BankError
from ...spaces import Config, Space
from ...spaces.counts import counts
from .transforms import gaussianised, warp

RIDGE = 10.0
"""Penalty of the tasks' linear models; scores have unit variance."""

SCALES, CHOICE_SCALES = (1.5, 3.0), (1.0, 1.8)
"""Length scales of the two Gaussian kernels: on a space's own counts, on one count a choice."""

ALIKE = 0.7
"""Length scale of the Gaussian kernel on opinions, for the root mean square over the tasks."""

KERNELS, INHERITED = 6, 4
"""Of the kernels so many, the first, know the earlier tasks' scores; the others do not."""

PSEUDO_TARGETS, DRAWS, SAMPLE, MANY = 24, 4, 150, 12
"""While the weights are learned: tasks that play the new one, how often each, with how many
designs. More tasks than ``MANY`` teach enough with one draw each."""

_PRIOR = -2.0
"""Where a kernel's log weight lies before the bank is asked; its deviation is 2."""


@dataclass(frozen=True)
class Weights:
    """How far what is trusted.

    Attributes:
        kernels: Weights of the six kernels: opinions held, opinions modelled, counts, opinions
            alike; and the Gaussian kernels with the small and the large scale.
        noise: The noise variance; scores have unit variance.
        mean: The weight of the tasks' mean opinion.
    """

    kernels: tuple[float, ...]
    noise: float
    mean: float


class Views:
    """Designs as the model sees them.

    Attributes:
        mean: The tasks' mean opinion, standardised ``[n]``.
        held: Each task's score, or its model's where it holds none ``[n, tasks]``.
        modelled: Each task's model's score ``[n, tasks]``.
        effects: Counts, scaled by the spread of their effects between the tasks ``[n, f]``.
        counts: Counts ``[n, f]``.
    """

    def __init__(
        self, mean: Tensor, held: Tensor, modelled: Tensor, effects: Tensor, counts: Tensor
    ) -> None:
        self.mean = mean
        self.held = held
        self.modelled = modelled
        self.effects = effects
        self.counts = counts

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, rows: slice | Sequence[int]) -> Views:
        return Views(*(part[rows] for part in self._parts))

    def joined(self, other: Views) -> Views:
        """These designs, then the others."""
        return Views(*(torch.cat(pair) for pair in zip(self._parts, other._parts, strict=True)))

    def kernels(self, other: Views, scales: Sequence[float]) -> Tensor:
        """The six kernels between these designs and others: ``[6, n, m]``."""
        tasks = max(self.held.shape[1], 1)
        linear = [
            self.held @ other.held.mT / tasks,
            self.modelled @ other.modelled.mT / tasks,
            self.effects @ other.effects.mT,
        ]
        opinions = _squares(self._opinions, other._opinions) / tasks
        distances = _squares(self.counts, other.counts)
        alike = (opinions / (-2 * ALIKE**2)).exp()
        return torch.stack([*linear, alike, *((distances / (-2 * s * s)).exp() for s in scales)])

    def diagonals(self) -> Tensor:
        """The six kernels of each design with itself: ``[6, n]``."""
        tasks = max(self.held.shape[1], 1)
        ones = torch.ones(len(self), dtype=self.mean.dtype)
        squares = [self.held.square().sum(1) / tasks, self.modelled.square().sum(1) / tasks]
        return torch.stack([*squares, self.effects.square().sum(1), ones, ones, ones])

    @property
    def _opinions(self) -> Tensor:
        return (self.held + self.modelled) / 2

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return self.mean, self.held, self.modelled, self.effects, self.counts


class Inheritance:
    """The prior that a bank's scores give.

    Args:
        scores: What the bank's tasks say of the space; the new task is not among them.
        relevance: How far each task matters, by name, as far as something is known beforehand (for
            example similarity of fingerprints); 1 for those that are not named.

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
        own = scores.space.features([]) is not None
        self.scales = SCALES if own else CHOICE_SCALES
        self._z = np.stack([gaussianised(row) for row in scores.values])
        self._values = scores.values
        self._counts = counts(scores.space, scores.configs)
        self._place = {scores.space.key(c): i for i, c in enumerate(scores.configs)}
        self._effects = np.stack([_effects(self._counts, row) for row in self._z])
        self._sources = _Sources(self._z, self._counts, self._effects, self.relevance)

    def views(self, configs: Sequence[Config]) -> Views:
        """Any configurations of the space as the model sees them."""
        x = counts(self.space, configs)
        places = [self._place.get(self.space.key(c), -1) for c in configs]
        held = self._z[:, places]
        held[:, np.array(places, dtype=int) < 0] = np.nan
        return self._sources.views(x, held)

    def with_relevance(self, relevance: Mapping[str, float]) -> Inheritance:
        """The same prior when something is known of how far each task matters."""
        other = copy(self)
        other.relevance = np.array([relevance.get(name, 1.0) for name in self.tasks])
        other._sources = _Sources(self._z, self._counts, self._effects, other.relevance)
        other.__dict__.pop("bank_views", None)  # what was learned of the bank's weights stays
        return other

    @cached_property
    def bank_views(self) -> Views:
        """The bank's own configurations."""
        return self._sources.views(self._counts, self._z)

    @cached_property
    def weights(self) -> Weights:
        """The weights under which the bank's tasks explain each other best."""
        return _learn(
            self._values, self._z, self._counts, self._effects, self.relevance, self.scales
        )

    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """How far a task's score of a design moves `Views.held` and `Views.mean`: ``[tasks]``."""
        return self._sources.roots, self._sources.shares / self._sources.size

    def opinions(self, config: Config) -> dict[str, float]:
        """Each task's score of a configuration, by name: Gaussian ranks, 0 is the median."""
        return dict(zip(self.tasks, self.views([config]).held[0].tolist(), strict=True))


@lru_cache(maxsize=4)
def inheritance_of(scores: Scores) -> Inheritance:
    """The prior that scores give; the same scores are learned from once a process."""
    return Inheritance(scores)


class _Sources:
    """The tasks that opinions are asked of."""

    def __init__(
        self, z: np.ndarray, x: np.ndarray, effects: np.ndarray, relevance: np.ndarray
    ) -> None:
        self.effects = effects
        self.shares = relevance / relevance.sum()
        self.roots = np.sqrt(self.shares * len(relevance))
        variances = effects[:, :-1].var(0) + 1e-4
        self.centre = x.mean(0)
        scaled = (x - self.centre) * np.sqrt(variances)
        size = np.sqrt(np.square(scaled).sum(1).mean())
        self.spread = np.sqrt(variances) / (size if size > 0 else 1.0)
        held, _ = self._held(x, z)
        deviation = (self.shares @ held).std()
        self.size = deviation if deviation > 0 else 1.0

    def _held(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        modelled = self.effects[:, :-1] @ x.T + self.effects[:, -1:]
        return np.where(np.isnan(z), modelled, z), modelled

    def views(self, x: np.ndarray, z: np.ndarray) -> Views:
        """Designs with counts ``x [n, f]`` of which the tasks hold scores ``z [tasks, n]``."""
        held, modelled = self._held(x, z)
        parts = (
            self.shares @ held / self.size,
            (held * self.roots[:, None]).T,
            (modelled * self.roots[:, None]).T,
            (x - self.centre) * self.spread,
            x,
        )
        return Views(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of rows: ``[n, m]``."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return (squares - 2 * a @ b.mT).clamp_min(0)


def _effects(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Ridge regression of scores on counts; the last entry is the intercept: ``[f + 1]``."""
    known = ~np.isnan(z)
    rows = np.c_[x[known], np.ones(known.sum())]
    gram = rows.T @ rows + RIDGE * np.eye(rows.shape[1])
    found: np.ndarray = np.linalg.solve(gram, rows.T @ z[known])
    return found


@torch.enable_grad()  # whoever asks may be predicting
def _learn(
    values: np.ndarray,
    z: np.ndarray,
    x: np.ndarray,
    effects: np.ndarray,
    relevance: np.ndarray,
    scales: Sequence[float],
) -> Weights:
    """Empirical Bayes: each task in turn plays the new one, the others are the bank."""
    tasks = len(z)
    if tasks < 3:  # nothing to learn from: a cautious guess
        return Weights((0.1, 0.2, 0.1, 0.1, 0.1, 0.4), 0.05, 0.2)
    rng = np.random.default_rng(0)
    targets = rng.permutation(tasks)[:PSEUDO_TARGETS]
    draws = DRAWS if tasks <= MANY else 1
    problems: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for target in targets:
        known = np.flatnonzero(~np.isnan(z[target]))
        if len(known) < 10:
            continue
        others = np.arange(tasks) != target
        sources = _Sources(z[others], x, effects[others], relevance[others])
        for _ in range(draws):
            size = min(SAMPLE, len(known))
            drawn = rng.choice(known, size, replace=False)
            views = sources.views(x[drawn], z[others][:, drawn])
            kernels = views.kernels(views, scales)
            y = warp(values[target][drawn])
            problems.setdefault(size, []).append((kernels, views.mean, y))
    batches = [tuple(map(torch.stack, zip(*p, strict=True))) for p in problems.values()]

    def negative(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logs = torch.tensor(flat, requires_grad=True)
        loss = (logs[:-2] - _PRIOR).square().sum() / 8
        for kernels, mean, y in batches:
            size = y.shape[-1]
            covariance = torch.einsum("k,bkij->bij", logs[:-2].exp(), kernels)
            covariance = covariance + logs[-2].exp() * torch.eye(size, dtype=y.dtype) + 1.0
            cholesky = torch.linalg.cholesky(covariance)
            rest = (y - logs[-1] * mean).unsqueeze(-1)
            solved = torch.linalg.solve_triangular(cholesky, rest, upper=False)
            determinant = cholesky.diagonal(dim1=1, dim2=2).log().sum()
            loss = loss + determinant + solved.square().sum() / 2
        (gradient,) = torch.autograd.grad(loss, logs)
        return float(loss.detach()), gradient.numpy()

    start = np.array([_PRIOR] * KERNELS + [-1.5, 0.2])
    bounds = [(-9.0, 3.0)] * KERNELS + [(-6.0, 1.0), (0.0, 2.0)]
    found = minimize(
        negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}
    ).x
    *kernels, noise, mean = found.tolist()
    return Weights(tuple(np.exp(kernels).tolist()), float(np.exp(noise)), float(mean))
