"""AutoTransfer: an ordinary search algorithm under the design prior of similar tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ...common.errors import unknown_name
from ...spaces import Config, Space
from ..optuna_backend import cached_trials, trial_id
from ..surrogates.design_prior import DesignPrior
from . import Sources, make_sampler
from .base import Observation, SpaceSampler
from .evolution import EvolutionSampler
from .tpe import TPESampler

BASES = ("random", "tpe", "evolution")
ENQUEUED = 10
"""After so many draws from the prior TPE takes over."""

TRIES = 100


class AutoTransferSampler(SpaceSampler):
    """Draws from the prior where the base algorithm would draw uniformly.

    Random search draws every configuration from it; evolution its first population and every
    mutated choice; TPE the trials that precede its first model. A configuration is not drawn twice
    while draws come upon another.

    Source: Cao et al., *AutoTransfer: AutoML with Knowledge Transfer*, ICLR 2023.

    Args:
        space: What can be chosen.
        prior: What similar tasks prefer.
        seed: With the slot, the only source of randomness.
        base: ``random``, ``tpe`` or ``evolution``; by default the class' own.

    Raises:
        UnknownNameError: The base is none of these.
    """

    default_base: ClassVar[str] = "random"

    def __init__(
        self, space: Space, prior: DesignPrior, *, seed: int = 0, base: str | None = None
    ) -> None:
        super().__init__(space, seed=seed)
        base = self.default_base if base is None else base
        if base not in BASES:
            raise unknown_name("base of AutoTransfer", base, BASES)
        self.prior = prior
        self.base = base
        self._evolution = EvolutionSampler(space, seed=seed)
        self._tpe = TPESampler(space, seed=seed)

    @classmethod
    def from_sources(cls, space: Space, sources: Sources | None, *, seed: int) -> BaseSampler:
        """The sampler; where there are no source tasks, its base algorithm."""
        if sources is None or not sources.tasks:
            return make_sampler(cls.default_base, space, seed)
        return cls(space, sources.design_prior(), seed=seed)

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        tried = [space.canonical(o.config) for o in history]
        done = [o for o in history if o.value is not None]
        if self.base != "evolution" or len(history) < self._evolution.population or not done:
            return self._new(lambda: self.prior.draw(rng), tried)
        parent = self._evolution.parent(done, rng)
        return self._new(lambda: self._mutated(parent, rng), tried)

    def _new(self, make: Callable[[], Config], tried: list[Config]) -> Config:
        config = make()
        for _ in range(TRIES):
            if self.prior.space.canonical(config) not in tried:
                break
            config = make()
        return config

    def _mutated(self, parent: Config, rng: np.random.Generator) -> Config:
        """A copy in which one choice, and what hangs on it, is drawn from the prior."""
        space = self.prior.space
        names = [
            p.name for p in space.parameters if p.name in parent and not p.distribution.single()
        ]
        if not names:
            return dict(parent)
        changed = names[int(rng.integers(len(names)))]
        config: Config = {}
        for p in space.parameters:
            if space.is_active(p, config):
                inherited = p.name in parent and p.name != changed
                config[p.name] = parent[p.name] if inherited else self.prior.draw_value(p, rng)
        return space.validate(config)

    # TPE reads the study itself: it takes over once there is something to model.

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if self._tpe_begins(study):
            return self._tpe.infer_relative_search_space(study, trial)
        return super().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if trial_id(trial) in self._proposals:
            return super().sample_relative(study, trial, search_space)
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if self._tpe_begins(study):
            return self._tpe.sample_independent(study, trial, param_name, param_distribution)
        return super().sample_independent(study, trial, param_name, param_distribution)

    def _tpe_begins(self, study: optuna.Study) -> bool:
        if self.base != "tpe":
            return False
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return len(cached_trials(study, ended)) >= ENQUEUED

    def prepare(self) -> None:
        """Nothing to do: the prior is there."""

    def explain(self, history: Sequence[Observation]) -> dict[str, float]:
        """The weight of each source task in the prior, by name; trials do not change it."""
        return dict(self.prior.weights)


class AutoTransferEvolution(AutoTransferSampler):
    """AutoTransfer over regularised evolution."""

    default_base = "evolution"


class AutoTransferTPE(AutoTransferSampler):
    """AutoTransfer over TPE."""

    default_base = "tpe"
