"""Gaussian-process search that starts from what earlier tasks have measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...common.threads import one_thread
from ...spaces import Config, Space
from ..surrogates.fantasies import fantasize
from ..surrogates.source_views import Views
from ..surrogates.transfer_prior import TransferPrior
from ..surrogates.transfer_process import TransferProcess
from ..surrogates.transforms import warp
from . import Sources
from .base import Observation
from .gp import EXHAUSTIVE, STARTS, GPSampler, Search


class TransferGPSampler(GPSampler):
    """Proposes what looks best in the light of earlier tasks and of this one's trials.

    The first trial is the design that the source tasks score best. From then on expected
    improvement decides, under a Gaussian process whose kernel is learned from the bank.

    Args:
        space: What can be chosen.
        prior: What the source tasks say of it.
        seed: With the slot, the only source of randomness.
    """

    def __init__(self, space: Space, prior: TransferPrior, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.prior = prior
        self._best_first: list[Config] | None = None
        self._whole: tuple[list[Config], Views, dict[str, int]] | None = None

    @classmethod
    def from_sources(cls, space: Space, sources: Sources | None, *, seed: int) -> GPSampler:
        """The sampler; where there are no source tasks, the one that needs none."""
        if sources is None or not sources.tasks:
            return GPSampler(space, seed=seed)
        return cls(space, sources.transfer_prior(), seed=seed)

    def prepare(self) -> None:
        """Learn from the bank how far it may be trusted; else the second trial would wait."""
        with one_thread():
            _ = self.prior.weights

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        tried = {space.key(o.config) for o in history}
        with one_thread():
            if not any(o.value is not None for o in history):
                return self._best_of_sources(space, tried, rng)
            return self._model_of_all(space, history, tried, rng)

    def _best_of_sources(self, space: Space, tried: set[str], rng: np.random.Generator) -> Config:
        """The bank's design of the best mean score that was not tried yet."""
        if self._best_first is None:
            order = self.prior.bank_views.mean.argsort(descending=True, stable=True).tolist()
            self._best_first = [self.prior.configs[i] for i in order]
        for config in self._best_first:
            if space.key(config) not in tried:
                return config
        return self._new(space, tried, rng)

    def _model_of_all(
        self,
        space: Space,
        history: Sequence[Observation],
        tried: set[str],
        rng: np.random.Generator,
    ) -> Config:
        process, y = self._process(history)
        best = y.max()
        if space.size is not None and space.size <= EXHAUSTIVE:
            configs, views, row_of = self._everything_of(space)
            scores = process.log_expected_improvement(views, best)
            rows = [row_of[key] for key in tried if key in row_of]
            if len(rows) == len(configs):
                return self._new(space, tried, rng)
            scores[rows] = -torch.inf
            return configs[int(scores.argmax())]
        leaders = sorted(
            (o for o in history if o.value is not None), key=lambda o: -(o.value or 0.0)
        )

        def acquisition(configs: Sequence[Config]) -> Tensor:
            return process.log_expected_improvement(self.prior.views(configs), best)

        search = Search(space, acquisition, tried)
        promising = process.log_expected_improvement(self.prior.bank_views, best)
        order = promising.argsort(descending=True, stable=True)[:STARTS].tolist()
        starts = [self.prior.configs[i] for i in order]
        return search.climb([o.config for o in leaders[:STARTS]], rng, starts)[0]

    def _process(self, history: Sequence[Observation]) -> tuple[TransferProcess, Tensor]:
        ended = [o for o in history if not o.running]
        worst = min(o.value for o in ended if o.value is not None)
        y = warp(np.array([worst if o.value is None else o.value for o in ended]))
        process = TransferProcess(self.prior, [o.config for o in ended], y)
        running = [o.config for o in history if o.running]
        if running:
            fantasize(process, self.prior.views(running))
        return process, y

    def _everything_of(self, space: Space) -> tuple[list[Config], Views, dict[str, int]]:
        if self._whole is None:
            # Configurations that build one model are looked at once.
            first: dict[str, Config] = {}
            for config in space.enumerate():
                first.setdefault(space.key(config), config)
            configs = list(first.values())
            row_of = {key: i for i, key in enumerate(first)}
            self._whole = configs, self.prior.views(configs), row_of
        return self._whole

    def source_scores(self, config: Config) -> dict[str, float]:
        """How each source task scores a configuration; see `TransferPrior.source_scores`."""
        return self.prior.source_scores(config)

    def explain(self, history: Sequence[Observation]) -> dict[str, float]:
        """The weight of each source task after these trials, by name."""
        if not any(o.value is not None for o in history):
            shares = self.prior.relevance / self.prior.relevance.sum()
            return dict(zip(self.prior.tasks, shares.tolist(), strict=True))
        return self._process(history)[0].source_weights()
