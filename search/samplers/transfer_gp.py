"""The Gaussian process that inherits: what earlier tasks found, until this one knows better."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...common.threads import one_thread
from ...spaces import Config, Space
from ..surrogates.configurations import NEGLIGIBLE, log_expected_improvement
from ..surrogates.fit import evidence
from ..surrogates.transfer_prior import INHERITED, KERNELS, Inheritance, Views
from ..surrogates.transforms import warp
from .base import Observation
from .gp import EXHAUSTIVE, STARTS, GPSampler, Search

TRUST = (0.0, 1.0)
"""How far the earlier tasks are trusted, as factors of what the bank says; 0 is the guard: where
the sources mislead, the evidence moves there, and what is left is a plain Gaussian process."""

OWN = (1.0,)
MEAN = (0.0, 0.5, 1.0)
NOISE = (0.3, 1.0)
OFFSET = 4.0
"""The variance of the unknown mean."""

CHUNK = 8192
"""Candidates are looked at in blocks of so many."""


class InheritingProcess:
    """The inherited prior, conditioned on this task's trials, under a grid of settings.

    The settings are averaged by their evidence: with two to five trials a maximum would be chance.

    Args:
        inheritance: The prior.
        configs: What was tried.
        y: Their values ``[n]``, standardised, higher is better.
    """

    @torch.no_grad()
    def __init__(self, inheritance: Inheritance, configs: Sequence[Config], y: Tensor) -> None:
        self.inheritance = inheritance
        weights = inheritance.weights
        kernels = torch.tensor(weights.kernels, dtype=torch.float64)
        rows = []
        for trust, own, mean, noise in itertools.product(TRUST, OWN, MEAN, NOISE):
            if trust == 0 and mean > 0:
                continue
            factors = torch.full((KERNELS,), own, dtype=torch.float64)
            factors[:INHERITED] = trust
            if trust == 0:  # what the sources explained is left to the process's own kernels
                factors[INHERITED:] *= float(kernels.sum() / kernels[INHERITED:].sum())
            scaled = kernels * factors
            rows.append([*scaled.tolist(), weights.mean * mean, weights.noise * noise])
        self.settings = torch.tensor(rows, dtype=torch.float64)
        self._condition(inheritance.views(configs), y.expand(len(rows), -1))
        shares = self.log_evidence.softmax(0)
        kept = shares >= NEGLIGIBLE
        self.settings = self.settings[kept]
        self.log_shares = shares[kept].log()
        self._condition(self.x, y.expand(len(self.settings), -1))

    def _condition(self, x: Views, y: Tensor) -> None:
        self.x, self.y = x, y
        n = len(x)
        kernels = x.kernels(x, self.inheritance.scales)
        covariance = torch.einsum("sk,kij->sij", self.settings[:, :KERNELS], kernels) + OFFSET
        noise = self.settings[:, -1].view(-1, 1, 1) * torch.eye(n, dtype=torch.float64)
        rest = y - self.settings[:, KERNELS : KERNELS + 1] * x.mean
        found = evidence(covariance + noise, rest)
        self.log_evidence, self.cholesky, self.solved, self.variance = found

    @torch.no_grad()
    def believe(self, x: Views) -> None:
        """Take configurations that are still being trained for as good as predicted."""
        mean, _ = self.predict(x)
        self._condition(self.x.joined(x), torch.cat([self.y, mean], dim=1))

    def predict(self, x: Views) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation at designs: two ``[settings, m]``."""
        kernels = x.kernels(self.x, self.inheritance.scales)
        cross = torch.einsum("sk,kij->sij", self.settings[:, :KERNELS], kernels) + OFFSET
        mean = self.settings[:, KERNELS : KERNELS + 1] * x.mean + (cross @ self.solved).squeeze(-1)
        explained = torch.linalg.solve_triangular(self.cholesky, cross.mT, upper=False)
        prior = self.settings[:, :KERNELS] @ x.diagonals() + OFFSET
        rest = (prior - explained.square().sum(1)).clamp_min(1e-7)
        return mean, (self.variance.unsqueeze(-1) * rest).sqrt()

    @torch.no_grad()
    def log_expected_improvement(self, x: Views, best: Tensor) -> Tensor:
        """The logarithm of the expected improvement over ``best`` at designs: ``[m]``."""
        found = []
        for start in range(0, len(x), CHUNK):
            mean, deviation = self.predict(x[start : start + CHUNK])
            found.append(log_expected_improvement(mean, deviation, best, self.log_shares))
        return torch.cat(found)

    @torch.no_grad()
    def trusted(self) -> dict[str, float]:
        """How much each earlier task's opinion moves the prediction, by name.

        The derivative by what the task holds and thinks of a design, which the inner products and
        the mean are linear in.
        """
        shares = self.log_shares.exp()
        tasks = len(self.inheritance.tasks)
        roots, means = map(torch.from_numpy, self.inheritance.slopes())
        total = torch.zeros(tasks, dtype=torch.float64)
        for share, setting, solved in zip(shares, self.settings, self.solved, strict=True):
            learned = setting[0] * (self.x.held.mT @ solved).flatten()
            learned += setting[1] * (self.x.modelled.mT @ solved).flatten()
            total += share * (learned * roots / tasks + setting[KERNELS] * means)
        return dict(zip(self.inheritance.tasks, total.tolist(), strict=True))

    @property
    def guarded(self) -> float:
        """The share of the evidence that says: trust no earlier task."""
        alone = self.settings[:, :INHERITED].sum(1) == 0
        return float(self.log_shares.exp()[alone].sum())


class TransferGPSampler(GPSampler):
    """Proposes what looks best in the light of earlier tasks and of this one's trials.

    The first trial is the design that earlier tasks think most of. From then on expected
    improvement decides, under a Gaussian process whose kernel is learned from the bank.

    Args:
        space: What can be chosen.
        inheritance: What earlier tasks say of it.
        seed: With the slot, the only source of randomness.
    """

    def __init__(self, space: Space, inheritance: Inheritance, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.inheritance = inheritance
        self._best_first: list[Config] | None = None
        self._whole: tuple[list[Config], Views, dict[str, int]] | None = None

    def prepare(self) -> None:
        """Learn from the bank how far it may be trusted; else the second trial would wait."""
        with one_thread():
            _ = self.inheritance.weights

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        known = {space.key(o.config) for o in history}
        with one_thread():
            if not any(o.value is not None for o in history):
                return self._inherited(space, known, rng)
            return self._improving(space, history, known, rng)

    def _inherited(self, space: Space, known: set[str], rng: np.random.Generator) -> Config:
        """What earlier tasks think most of and nobody has tried yet."""
        if self._best_first is None:
            opinion = self.inheritance.bank_views.mean
            order = opinion.argsort(descending=True, stable=True).tolist()
            self._best_first = [self.inheritance.configs[i] for i in order]
        for config in self._best_first:
            if space.key(config) not in known:
                return config
        return self._unknown(space, known, rng)

    def _improving(
        self,
        space: Space,
        history: Sequence[Observation],
        known: set[str],
        rng: np.random.Generator,
    ) -> Config:
        process, y = self._process(history)
        best = y.max()
        if space.size is not None and space.size <= EXHAUSTIVE:
            configs, views, places = self._everything_of(space)
            scores = process.log_expected_improvement(views, best)
            tried = [places[key] for key in known if key in places]
            if len(tried) == len(configs):
                return self._unknown(space, known, rng)
            scores[tried] = -torch.inf
            return configs[int(scores.argmax())]
        leaders = sorted(
            (o for o in history if o.value is not None), key=lambda o: -(o.value or 0.0)
        )

        def acquisition(configs: Sequence[Config]) -> Tensor:
            return process.log_expected_improvement(self.inheritance.views(configs), best)

        search = Search(space, acquisition, known)
        promising = process.log_expected_improvement(self.inheritance.bank_views, best)
        order = promising.argsort(descending=True, stable=True)[:STARTS].tolist()
        starts = [self.inheritance.configs[i] for i in order]
        return search.climb([o.config for o in leaders[:STARTS]], rng, starts)[0]

    def _process(self, history: Sequence[Observation]) -> tuple[InheritingProcess, Tensor]:
        ended = [o for o in history if not o.running]
        worst = min(o.value for o in ended if o.value is not None)
        y = warp(np.array([worst if o.value is None else o.value for o in ended]))
        process = InheritingProcess(self.inheritance, [o.config for o in ended], y)
        running = [o.config for o in history if o.running]
        if running:
            process.believe(self.inheritance.views(running))
        return process, y

    def _everything_of(self, space: Space) -> tuple[list[Config], Views, dict[str, int]]:
        if self._whole is None:
            # Configurations that build one model are looked at once.
            first: dict[str, Config] = {}
            for config in space.enumerate():
                first.setdefault(space.key(config), config)
            configs = list(first.values())
            places = {key: i for i, key in enumerate(first)}
            self._whole = configs, self.inheritance.views(configs), places
        return self._whole

    def explain(self, history: Sequence[Observation]) -> dict[str, float]:
        """How much each earlier task's opinion counts after these trials, by name."""
        if not any(o.value is not None for o in history):
            shares = self.inheritance.relevance / self.inheritance.relevance.sum()
            return dict(zip(self.inheritance.tasks, shares.tolist(), strict=True))
        return self._process(history)[0].trusted()
