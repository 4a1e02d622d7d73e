"""The Gaussian process of a new task that starts from the transfer prior of earlier ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from ...spaces import Config
from .averaged import AveragedProcess
from .source_views import KERNELS, TRANSFERRED, Views
from .transfer_prior import TransferPrior

TRUST = (0.0, 1.0)
"""How far the source tasks are trusted, as factors of what the bank says. 0 is the guard: where
the sources mislead, the evidence moves there, and a plain Gaussian process is left."""

MEAN = (0.0, 0.5, 1.0)
NOISE = (0.3, 1.0)
"""Factors of the prior's weight of the mean score, and of its noise."""

OFFSET = 4.0
"""The variance of the unknown mean."""

CHUNK = 8192
"""Candidates are scored in blocks of so many."""


class TransferProcess(AveragedProcess[Views]):
    """The transfer prior, conditioned on this task's trials, under a grid of settings.

    The settings are averaged by their evidence: with two to five trials a maximum would be chance.

    Args:
        prior: What earlier tasks say.
        configs: The configurations that were tried.
        y: Their values ``[n]``, standardised, higher is better.

    Attributes:
        settings: Weights of the kernels, of the mean and of the noise ``[b, KERNELS + 2]``.
    """

    @torch.no_grad()
    def __init__(self, prior: TransferPrior, configs: Sequence[Config], y: Tensor) -> None:
        self.prior = prior
        self.settings = torch.tensor(_grid(prior), dtype=torch.float64)
        super().__init__(prior.views(configs), y)

    @property
    def noise(self) -> Tensor:
        return self.settings[:, -1]

    def keep_settings(self, chosen: Tensor) -> None:
        self.settings = self.settings[chosen]

    def prior_mean(self, x: Views) -> Tensor:
        return self.settings[:, KERNELS : KERNELS + 1] * x.mean

    def covariance(self, x: Views, other: Views) -> Tensor:
        kernels = x.kernels(other, self.prior.scales)
        return torch.einsum("sk,kij->sij", self.settings[:, :KERNELS], kernels) + OFFSET

    def prior_variance(self, x: Views) -> Tensor:
        return self.settings[:, :KERNELS] @ x.diagonals() + OFFSET

    def join(self, x: Views, more: Views) -> Views:
        return x.joined(more)

    @torch.no_grad()
    def log_expected_improvement(self, x: Views, best: Tensor) -> Tensor:
        scored = super().log_expected_improvement
        starts = range(0, len(x), CHUNK)
        return torch.cat([scored(x[start : start + CHUNK], best) for start in starts])

    @torch.no_grad()
    def source_weights(self) -> dict[str, float]:
        """How much each source task's score moves the prediction, by name.

        The derivative by the task's score and its model's prediction of a design, in which the
        inner products and the mean are linear.
        """
        shares = self.log_shares.exp()
        tasks = len(self.prior.tasks)
        roots, means = map(torch.from_numpy, self.prior.slopes())
        total = torch.zeros(tasks, dtype=torch.float64)
        for share, setting, weights in zip(shares, self.settings, self.weights, strict=True):
            learned = setting[0] * (self.x.scores.mT @ weights).flatten()
            learned += setting[1] * (self.x.predictions.mT @ weights).flatten()
            total += share * (learned * roots / tasks + setting[KERNELS] * means)
        return dict(zip(self.prior.tasks, total.tolist(), strict=True))

    @property
    def guarded(self) -> float:
        """The share of the evidence of the settings that trust no source task."""
        alone = self.settings[:, :TRANSFERRED].sum(1) == 0
        return float(self.log_shares.exp()[alone].sum())


def _grid(prior: TransferPrior) -> list[list[float]]:
    weights = prior.weights
    kernels = torch.tensor(weights.kernels, dtype=torch.float64)
    rows = []
    for trust, mean, noise in itertools.product(TRUST, MEAN, NOISE):
        if trust == 0 and mean > 0:
            continue
        factors = torch.ones(KERNELS, dtype=torch.float64)
        factors[:TRANSFERRED] = trust
        if trust == 0:  # what the sources explained is left to the kernels on counts
            factors[TRANSFERRED:] *= float(kernels.sum() / kernels[TRANSFERRED:].sum())
        scaled = kernels * factors
        rows.append([*scaled.tolist(), weights.mean * mean, weights.noise * noise])
    return rows
