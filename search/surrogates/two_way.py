"""How training on one context does on another, from few rows: a two-way process.

``J[i, j] = F(x_i) + G_j + sum_d h_d(x_id - x_jd) + R_j(x_i) + noise``: how well a source is
learned, how easy a target is, a gap between them, and what none of these explains. Every cell of a
row teaches, so one row already tells the gap from the rest.

* ``h_d`` is a multiple of ``|D|`` plus bells of several widths, each side of its own. A gap with
  two slopes is in it: ``l min(D, 0) + r max(D, 0) = (l + r)/2 D + (r - l)/2 |D|``, and what is
  linear in ``D`` belongs to ``F`` and ``G``. How much the bells may say is decided by how well
  they predict rows left out: the cells of a row are not independent of each other.
* ``G`` is linear in the context plus an effect of its own for each target, shrunk by as much as the
  columns disagree no more than noise does (a random effect, its variance by analysis of variance).
* ``F`` is a Gaussian process with a linear trend, its settings averaged by evidence.
* ``R_j`` is, for each target, a Gaussian process over sources: where transfer has a shape that
  differences cannot express, neighbouring sources share it. How much of the rest is so, and how far
  it reaches, is decided by evidence; where rows differ by noise alone, there is none of it.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from .evidence import shares
from .kernels import gaussian, squared_distances
from .rows import FOLDS, Rows, gap_features

BELLS = (1e-9, 1e-2, 1.0)
ODDS = (0.98, 0.01, 0.01)
"""Variances of the bells' heights, in units of a row's variance, and their prior probabilities; the
first has none: a gap that one slope explains needs no other."""

SOUNDNESS = 2.0
"""A row left out counts as so many independent cells: what is special in one row is so in many of
its cells, which is why their number proves nothing."""

SLOPES = 10.0
"""The prior variance of slopes, in the same unit."""

TREND = (0.03, 0.3, 3.0)
"""Prior variances of F's trend, in units of the variance of what rows have in common."""

TRIED = 0.25
"""Once sources differ by this share of a dimension, its trend is as certain as any; before, it
has the mean of the variances above: that F is flat along other dimensions says nothing of it."""

BUMPS = ((0.0, 1.0), (0.1, 0.5), (0.1, 1.5), (1.0, 0.5), (1.0, 1.5))
"""(variance, length scale) of F's deviations from its trend."""

LUCK = (1e-4, 0.01)
"""Variances of what sets one training apart from its neighbours."""

MEAN = 10.0
"""The prior variance of F's mean, in the same unit."""

NEGLIGIBLE = 0.02
"""Settings with a smaller share of the best one's evidence are left out."""

SHARED = (0.5, 0.8, 0.95)
REACHES = (0.05, 0.15, 0.4)
"""Shares of the rest that neighbouring sources have in common, and how far they reach."""

UNSHARED = 0.5
"""The prior probability that the rest is noise alone."""

LATTICE = 5040
"""Steps of the table in which a gap is looked up."""

PASSES = 3


def _solve(gram: np.ndarray, moment: np.ndarray, prior: np.ndarray, noise: float) -> np.ndarray:
    """Ridge regression; in units of the prior's deviations the matrix is well conditioned."""
    root = np.sqrt(prior)
    scaled = gram * root[:, None] * root / noise + np.eye(len(gram))
    solved: np.ndarray = root * np.linalg.solve(scaled, root * moment / noise)
    return solved


class TwoWayProcess:
    """The posterior of every cell, given some whole rows.

    Args:
        rows: What was observed.

    Attributes:
        training: ``F`` of the rows' sources, as observed ``[k]``.
        columns: ``G`` ``[T]``.
        shape: Coefficients of the gap's features.
        noise: The variance of a cell.
        scale: The variance of what the rows do not have in common.
        log_evidence: Of all settings of ``F`` together, up to a constant.
    """

    def __init__(self, rows: Rows) -> None:
        self.condition(rows)

    def condition(self, rows: Rows) -> None:
        """Observe rows; what was observed before is forgotten."""
        self.points, self.targets = rows.points, rows.targets
        self.sources = np.array(rows.sources)
        self._dimensions = self.points.shape[1]
        self._regress(rows)
        self._weigh()
        self._share(rows.values)

    # Columns and the gap --------------------------------------------------------------------------

    def _regress(self, rows: Rows) -> None:
        """The gap's shape and the columns' effects: ridge regression, columns' effects shrunk."""
        values, features = rows.values, rows.features
        k, count = values.shape
        y = values - values.mean(1, keepdims=True)
        mean, mean_y = features.mean(0), y.mean(0)
        mean_gram, mean_moment = k * mean.T @ mean, k * mean.T @ mean_y
        unit = max(float(np.square(y).mean()), 1e-300)
        share, noise = 0.0, 0.1 * unit
        self._bells = self._validated(rows, features, y, unit)
        for _ in range(PASSES):
            # Generalised least squares: of what a column's cells share, a part is its own effect.
            coefficients = self._ridge(
                np.asarray(rows.gram) - share * mean_gram,
                np.asarray(rows.moment) - share * mean_moment,
                unit,
                noise,
            )
            rest = y - features @ coefficients
            effects, noise = rest.mean(0), float(np.square(rest).mean())
            share = 0.0
            if k > 1 and count > 1:
                between = k * float(np.square(effects).sum()) / (count - 1)
                within = float(np.square(rest - effects).sum()) / ((k - 1) * (count - 1))
                effect = max(0.0, (between - within) / k)
                if effect > 0:
                    share, noise = k * effect / (k * effect + within), within
            noise = max(noise, 1e-8 * unit)
        shape = features.shape[2] - self._dimensions
        self.shape = coefficients[:shape]
        contexts = self.points[self.targets]
        self.columns = (contexts - contexts.mean(0)) @ coefficients[shape:] + share * effects
        self._tabulate()
        self.training = (values - self.columns - self.gap(self.sources)).mean(1)
        self.noise = noise
        spread = float((values - self.columns).var())
        self.scale = max(spread - noise, 1e-3 * spread, 1e-300)

    def _ridge(self, gram: np.ndarray, moment: np.ndarray, unit: float, noise: float) -> np.ndarray:
        """Coefficients, averaged over how far the bells are trusted."""
        solved = [
            _solve(gram, moment, self._prior(len(gram), unit, bells), noise) for bells in BELLS
        ]
        averaged: np.ndarray = self._bells @ np.array(solved)
        return averaged

    def _prior(self, features: int, unit: float, bells: float) -> np.ndarray:
        """Prior variances of the coefficients ``[p]``."""
        d = self._dimensions
        is_bell = np.zeros(features, dtype=bool)
        is_bell[d : features - d] = True
        variances: np.ndarray = unit * np.where(is_bell, bells, SLOPES)
        return variances

    def _validated(
        self, rows: Rows, features: np.ndarray, y: np.ndarray, unit: float
    ) -> np.ndarray:
        """How far each prior of the bells is trusted: by how well it predicts rows left out."""
        k = len(y)
        if k == 1:
            return np.array([1.0] + [0.0] * (len(BELLS) - 1))
        errors = np.zeros(len(BELLS))
        for fold in range(min(FOLDS, k)):
            gram = np.asarray(rows.gram) - rows.folds[fold][0]
            moment = np.asarray(rows.moment) - rows.folds[fold][1]
            group = slice(fold, None, FOLDS)
            for i, bells in enumerate(BELLS):
                prior = self._prior(len(gram), unit, bells)
                coefficients = _solve(gram, moment, prior, 0.1 * unit)
                errors[i] += np.square(y[group] - features[group] @ coefficients).sum()
        logs = np.log(ODDS) - 0.5 * SOUNDNESS * k * np.log(np.maximum(errors / unit, 1e-9))
        return shares(logs)[1]

    def _tabulate(self) -> None:
        """Each dimension's gap on a lattice of differences."""
        d = self._dimensions
        steps = np.linspace(-1.0, 1.0, 2 * LATTICE + 1)
        features = gap_features(steps[:, None])  # [steps, 1 + 2 widths]
        self._tables = np.ascontiguousarray((features @ self.shape.reshape(-1, d)).T)
        self._lattice = np.rint(self.points * LATTICE).astype(np.intp)

    def gap(self, sources: np.ndarray, columns: np.ndarray | slice = slice(None)) -> np.ndarray:
        """What the difference of contexts adds ``[n, T]``."""
        targets = self.targets[columns]
        total = np.zeros((len(sources), len(targets)))
        for d in range(self._dimensions):
            steps = self._lattice[:, d]
            total += self._tables[d].take(steps[sources, None] + (LATTICE - steps[targets]))
        return total

    # Training performance -------------------------------------------------------------------------

    def _weigh(self) -> None:
        """Condition F under each setting; leave out those that explain the rows badly."""
        x = self.points[self.sources] - 0.5
        self._mean = float(self.training.mean())
        y = self.training - self._mean
        settings = np.array([(t, v, s, u) for t in TREND for v, s in BUMPS for u in LUCK])
        noises = settings[:, 3] + 1e-6 + self.noise / len(self.targets) / self.scale
        tried = (np.ptp(x, axis=0) / TRIED).clip(0, 1)
        self._trends = {t: t * tried + np.mean(TREND) * (1 - tried) for t in TREND}
        covariances = self._kernels(x, x, settings) + noises[:, None, None] * np.eye(len(x))
        cholesky = np.linalg.cholesky(self.scale * covariances)
        halves = np.linalg.solve(cholesky, np.broadcast_to(y[:, None], (len(settings), len(y), 1)))
        logs = -0.5 * np.square(halves[..., 0]).sum(1)
        logs -= np.log(np.diagonal(cholesky, axis1=1, axis2=2)).sum(1)
        self.log_evidence = float(np.logaddexp.reduce(logs))
        stays, self._shares = shares(logs, NEGLIGIBLE)
        self._settings, self._cholesky = settings[stays], cholesky[stays]
        self._halves = halves[stays, :, 0]

    # What neither explains ------------------------------------------------------------------------

    def _share(self, values: np.ndarray) -> None:
        """By evidence: how much of the rest do neighbouring sources have in common?"""
        self._rest = values - expected_rows(self)
        contexts = self.points[self.sources]
        gaps = np.abs(contexts[:, None] - contexts).sum(2)
        settings = [(0.0, 1.0)] + [(share, reach) for share in SHARED for reach in REACHES]
        common, reaches = np.array(settings).T
        kernels = np.exp(-gaps / reaches[:, None, None])
        identity = np.eye(len(contexts))
        covariances = common[:, None, None] * kernels + (1 - common)[:, None, None] * identity
        cholesky = np.linalg.cholesky(covariances)
        inverses = np.linalg.inv(covariances)
        squares = self._rest @ self._rest.T / self.noise
        count = self._rest.shape[1]
        logs = -0.5 * np.einsum("sij,ij->s", inverses, squares)
        logs -= count * np.log(np.diagonal(cholesky, axis1=1, axis2=2)).sum(1)
        logs += np.log([UNSHARED] + [(1 - UNSHARED) / (len(settings) - 1)] * (len(settings) - 1))
        stays, weights = shares(logs, NEGLIGIBLE)
        self._common = [
            (weight, share, reach, inverse)
            for weight, share, reach, inverse in zip(
                weights, common[stays], reaches[stays], inverses[stays], strict=True
            )
            if share > 0
        ]

    def _rest_of(self, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the observed rows' rests ``[n, k]``; how much noise they explain ``[n]``."""
        contexts = self.points[self.sources]
        total = np.zeros((len(sources), len(contexts)))
        explained = np.zeros(len(sources))
        gaps = sum(
            np.abs(self.points[sources, None, d] - contexts[:, d]) for d in range(self._dimensions)
        )
        for weight, share, reach, inverse in self._common:
            kernel = share * np.exp(-gaps / reach)
            smoother = kernel @ inverse
            total += weight * smoother
            explained += weight * (smoother * kernel).sum(1)
        return total, explained

    def _kernels(self, a: np.ndarray, b: np.ndarray, settings: np.ndarray) -> np.ndarray:
        """``[settings, a, b]`` in units of the scale."""
        squares = squared_distances(a, b)
        lines = {t: (a * each) @ b.T for t, each in self._trends.items()}
        bumps = {s: gaussian(squares, s) for s in set(settings[:, 2].tolist())}
        return np.stack([MEAN + lines[t] + v * bumps[s] for t, v, s, _ in settings])

    def training_of(self, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of ``F`` of contexts that are not trained yet: two ``[n]``."""
        x = self.points[sources] - 0.5
        cross = self.scale * self._kernels(self.points[self.sources] - 0.5, x, self._settings)
        bump, luck = self._settings[:, 1:2], self._settings[:, 3:4]
        trends = np.array([self._trends[t] for t in self._settings[:, 0]])
        prior = self.scale * (MEAN + trends @ np.square(x).T + bump + luck)
        means, explained = [], []
        for i in range(len(self._settings)):
            half = solve_triangular(self._cholesky[i], cross[i], lower=True, check_finite=False)
            means.append(self._halves[i] @ half)
            explained.append(np.square(half).sum(0))
        mean = self._shares @ np.array(means)
        spread = self._shares @ np.square(np.array(means) - mean)
        rest = np.maximum(prior - np.array(explained), 1e-12 * self.scale)
        return self._mean + mean, self._shares @ rest + spread

    def predict(
        self, sources: np.ndarray, columns: np.ndarray | slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``[n, T]`` and variance ``[n]`` (noise included) of what sources would give.

        Args:
            sources: Contexts that are not trained yet ``[n]``.
            columns: Which targets are asked about; all by default.
        """
        mean, variance = self.training_of(sources)
        expected = mean[:, None] + self.columns[columns] + self.gap(sources, columns)
        if not self._common:
            return expected, variance + self.noise
        smoother, explained = self._rest_of(sources)
        expected += smoother @ self._rest[:, columns]
        return expected, variance + self.noise * (1 - explained)


def expected_rows(process: TwoWayProcess) -> np.ndarray:
    """What the process expects of the rows that it was given, noise taken off ``[k, T]``."""
    gap = process.gap(process.sources)
    expected: np.ndarray = process.training[:, None] + process.columns + gap
    return expected
