"""Optuna's TPE as a pure function of (seed, slot, trials)."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from ...spaces import Space
from ..optuna_backend import trial_id
from .base import slot_of


class TPESampler(BaseSampler):
    """Optuna's tree-structured Parzen estimator, a new one for every trial.

    Optuna's own keeps a random stream, so a resumed study would draw other numbers. Here each
    trial has a fresh sampler, seeded by (seed, slot).

    Args:
        space: Without effect: TPE takes the parameters from the trials. All samplers are made
            with a space.
        seed: With the slot, the only source of randomness.

    Source: Bergstra et al., *Algorithms for Hyper-Parameter Optimization*, NeurIPS 2011.
    """

    def __init__(self, space: Space | None = None, *, seed: int = 0) -> None:
        self.space = space
        self.seed = seed
        self._fresh: dict[int, optuna.samplers.TPESampler] = {}

    def _sampler(self, study: optuna.Study, trial: FrozenTrial) -> optuna.samplers.TPESampler:
        if trial_id(trial) not in self._fresh:
            entropy = np.random.SeedSequence([self.seed, slot_of(study, trial)])
            seed = int(entropy.generate_state(1)[0])
            self._fresh = {trial_id(trial): optuna.samplers.TPESampler(seed=seed)}
        return self._fresh[trial_id(trial)]

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        sampler = self._sampler(study, trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)
