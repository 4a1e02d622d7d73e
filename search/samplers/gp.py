"""Gaussian-process Bayesian optimisation for mixed, conditional spaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...common.threads import one_thread
from ...spaces import Config, Space
from ...spaces.encoding import scale, unscale
from ..surrogates.configurations import ConfigurationInputs, ConfigurationProcess
from ..surrogates.fantasies import fantasize
from ..surrogates.polish import polish
from ..surrogates.transforms import warp
from .base import Observation, SpaceSampler
from .evolution import mutate

EXHAUSTIVE = 60_000
"""In finite spaces up to this size every configuration is scored."""

SCREENED, STARTS, NEIGHBOURS, POLISHED = 512, 8, 24, 4
STEPS = (0.2, 0.05)
"""In larger spaces: the number of random candidates, of starts of a local search from the best of
them, of relatives tried in each step, and of those improved along the gradient at last. The steps
of numeric choices become smaller."""


class GPSampler(SpaceSampler):
    """Proposes the configuration with the largest expected improvement under a Gaussian process.

    The first trial is the space's default, if it has one, and the next few are random. Running
    trials count with the values predicted for them (fantasies), failed ones with the worst value so
    far. No configuration is proposed twice while another is left.

    Args:
        space: What can be chosen.
        seed: With the slot, the only source of randomness.
        startup: The number of trials before the first model.

    Example:
        >>> import optuna
        >>> def objective(trial):
        ...     return (trial.suggest_float("x", -2, 2) - 1) ** 2
        >>> study = optuna.create_study(sampler=GPSampler(seed=1))
        >>> study.optimize(objective, n_trials=20)  # doctest: +SKIP
    """

    def __init__(self, space: Space | None = None, *, seed: int = 0, startup: int = 5) -> None:
        super().__init__(space, seed=seed)
        self.startup = startup
        self._everything: tuple[str, _Everything] | None = None

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        if len(history) < len(space.defaults):
            return space.defaults[len(history)]
        tried = {space.key(o.config) for o in history}
        done = [o for o in history if o.value is not None]
        if len(history) < self.startup or len(done) < 2:
            return self._new(space, tried, rng)
        with one_thread():
            return self._model_based(space, history, tried, rng)

    def _new(self, space: Space, tried: set[str], rng: np.random.Generator) -> Config:
        """A random configuration that was not tried yet, if the draws come upon one."""
        config = space.sample(rng)
        for _ in range(100):
            if space.key(config) not in tried:
                break
            config = space.sample(rng)
        return config

    def _model_based(
        self,
        space: Space,
        history: Sequence[Observation],
        tried: set[str],
        rng: np.random.Generator,
    ) -> Config:
        inputs = ConfigurationInputs(space)
        ended = [o for o in history if not o.running]
        worst = min(o.value for o in ended if o.value is not None)
        values = np.array([worst if o.value is None else o.value for o in ended])
        y = warp(values)
        process = ConfigurationProcess(inputs, inputs([o.config for o in ended]), y)
        best = y.max()
        running = [o.config for o in history if o.running]
        if running:
            fantasize(process, inputs(running))
        if space.size is not None and space.size <= EXHAUSTIVE:
            config = self._all(space).best(process, best, tried)
            return self._new(space, tried, rng) if config is None else config

        def acquisition(configs: Sequence[Config]) -> Tensor:
            return process.log_expected_improvement(inputs(configs), best)

        search = Search(space, acquisition, tried)
        leaders = sorted(ended, key=lambda o: -worst if o.value is None else -o.value)
        pool = search.climb([o.config for o in leaders[:STARTS]], rng)
        if not inputs.counts:
            pool = search.ranked(pool + _polished(inputs, process, best, pool[:POLISHED]))
        return pool[0]

    def _all(self, space: Space) -> _Everything:
        # Kept by hash: without a space of its own, a sampler derives one anew for every trial.
        if self._everything is None or self._everything[0] != space.hash:
            self._everything = (space.hash, _Everything(space))
        return self._everything[1]


class _Everything:
    """All configurations of a finite space, with their inputs; made once."""

    def __init__(self, space: Space) -> None:
        self.configs = list(space.enumerate())
        self.row = {space.key(config): i for i, config in enumerate(self.configs)}
        inputs = ConfigurationInputs(space)
        x = inputs(self.configs)
        # On counts the noise is large enough for single precision; a fitted one may be tiny.
        self.x = x.float() if inputs.counts else x

    @torch.no_grad()
    def best(self, process: ConfigurationProcess, best: Tensor, tried: set[str]) -> Config | None:
        """The one with the largest expected improvement of all that were not tried."""
        scores = process.log_expected_improvement(self.x, best)
        rows = [self.row[key] for key in tried if key in self.row]
        if len(rows) == len(self.configs):
            return None
        scores[rows] = -torch.inf
        return self.configs[int(scores.argmax())]


def _polished(
    inputs: ConfigurationInputs, process: ConfigurationProcess, best: Tensor, configs: list[Config]
) -> list[Config]:
    def acquisition(x: Tensor) -> Tensor:
        return process.log_expected_improvement(x, best)

    return polish(inputs.space, configs, inputs(configs), acquisition)


class Search:
    """The search for the largest acquisition value in a space that is too large to score whole.

    Args:
        space: What can be chosen.
        acquisition: Scores configurations: ``[n]``, higher is better.
        tried: Keys of the configurations that were tried already.
    """

    def __init__(
        self, space: Space, acquisition: Callable[[Sequence[Config]], Tensor], tried: set[str]
    ) -> None:
        self.space = space
        self.acquisition = acquisition
        self.tried = tried

    def climb(
        self, leaders: list[Config], rng: np.random.Generator, starts: Sequence[Config] = ()
    ) -> list[Config]:
        """Screen random candidates, ``starts`` and relatives of the leaders, then climb."""
        candidates = [self.space.sample(rng) for _ in range(SCREENED)] + list(starts)
        candidates += [
            neighbour(self.space, leader, rng, STEPS[0])
            for leader in leaders
            for _ in range(NEIGHBOURS)
        ]
        pool = self.ranked(candidates)[:STARTS]
        for step in STEPS:
            relatives = [
                neighbour(self.space, config, rng, step)
                for config in pool
                for _ in range(NEIGHBOURS)
            ]
            pool = self.ranked(pool + relatives)[:STARTS]
        return pool

    @torch.no_grad()
    def ranked(self, candidates: list[Config]) -> list[Config]:
        """The candidates that were not tried, best first; all of them, if all were."""
        new = [c for c in candidates if self.space.key(c) not in self.tried] or candidates
        scores = self.acquisition(new)
        return [new[i] for i in scores.argsort(descending=True, stable=True).tolist()]


def neighbour(space: Space, config: Config, rng: np.random.Generator, step: float) -> Config:
    """A relative: one numeric choice moved by about ``step`` of its range, or any choice anew."""
    numeric = [
        p for p in space.parameters if p.name in config and not _is_categorical(space, p.name)
    ]
    if not numeric or rng.random() < 0.4:
        return mutate(space, config, rng)
    moved = dict(config)
    # Now and then several at once: ridges run diagonally.
    for p in rng.permutation(len(numeric))[: 1 + int(rng.integers(2))]:
        chosen = numeric[int(p)]
        value = scale(chosen.distribution, config[chosen.name]) + step * rng.normal()
        moved[chosen.name] = unscale(chosen.distribution, float(value))
    return space.sample(rng, moved)


def _is_categorical(space: Space, name: str) -> bool:
    return bool(space.categorical[[p.name for p in space.parameters].index(name)])
