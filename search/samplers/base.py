"""The base of the samplers: a proposal is a pure function.

It depends on (seed, slot, finished trials, live running trials) and on nothing else, so a
resumed study continues exactly as an uninterrupted one, and workers need no shared state. A *slot*
is a trial's place in the sequence; in a plain Optuna study it is the trial's number.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ...spaces import Config, Parameter, Space
from ...spaces.encoding import draw
from ..optuna_backend import cached_trials, trial_id
from .scalarise import draw_weights, scalarised

TRIES = 30
"""So many proposals that are not allowed are replaced; then one becomes a trial, and fails."""


@dataclass(frozen=True)
class Observation:
    """An earlier trial as a sampler sees it.

    Attributes:
        config: Its configuration.
        value: Its objective, *higher is better* whatever the study's direction; of several, what
            `scalarise` makes of them; for a pruned trial the last reported value; ``None`` while
            it runs and where it failed.
        state: Optuna's trial state (COMPLETE, PRUNED, FAIL or RUNNING).
    """

    config: Config
    value: float | None
    state: TrialState

    @property
    def running(self) -> bool:
        return self.state == TrialState.RUNNING


def slot_of(study: optuna.Study, trial: FrozenTrial) -> int:
    """A trial's place in the sequence: the study's own answer, or the trial's number."""
    answer = getattr(study, "slot_of", None)
    return trial.number if answer is None else int(answer(trial))


class SpaceSampler(BaseSampler):
    """Base of the samplers that propose whole configurations of a `Space`.

    Args:
        space: What can be chosen; where it is ``None``, the parameters that all finished trials
            share (so the first trial is drawn at random).
        seed: With the slot, the only source of randomness.

    Attributes:
        allows: Whether a configuration may become a trial; by default all may. One that may not
            counts as failed for the next proposal.
    """

    allows: Callable[[Config], bool] | None = None

    reads_history = True
    """Whether `propose` looks at earlier trials; where it does not, none are read for it."""

    def __init__(self, space: Space | None = None, *, seed: int = 0) -> None:
        self.space = space
        self.seed = seed
        self._proposals: dict[int, Config] = {}

    @abstractmethod
    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        """The next configuration, from the trials so far (in the order of their slots)."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        space = self.space or _shared_space(study)
        if not len(space):
            return {}
        config = self._proposal(study, trial, space)
        self._proposals[trial_id(trial)] = config
        return space.distributions(config)

    def _proposal(self, study: optuna.Study, trial: FrozenTrial, space: Space) -> Config:
        """A configuration that is allowed, or after `TRIES` proposals one that is not."""
        rng = np.random.default_rng([self.seed, slot_of(study, trial)])
        objectives = len(study.directions)
        weights = draw_weights(objectives, rng) if objectives > 1 else None
        history = observations(study, trial, space, weights) if self.reads_history else []
        config = self.propose(space, history, rng)
        for _ in range(TRIES if self.allows else 0):
            if self.allows is None or self.allows(config):
                break
            history = [*history, Observation(config, None, TrialState.FAIL)]
            config = self.propose(space, history, rng)
        return config

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        config = self._proposals.pop(trial_id(trial), None)
        if config is None and self.space is None and search_space:  # the caller's own space
            parameters = [Parameter(name, each) for name, each in search_space.items()]
            config = self._proposal(study, trial, Space("asked", parameters))
        # Optuna's `PartialFixedSampler` takes parameters out of the search space.
        return {name: v for name, v in (config or {}).items() if name in search_space}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        entropy = [self.seed, slot_of(study, trial), *param_name.encode()]
        return draw(param_distribution, np.random.default_rng(entropy))


def observations(
    study: optuna.Study,
    trial: FrozenTrial | None,
    space: Space,
    weights: np.ndarray | None = None,
) -> list[Observation]:
    """The trials, but for ``trial``, that hold a whole configuration of ``space``.

    Args:
        study: The study.
        trial: The one that is to be proposed for.
        space: What can be chosen.
        weights: Of the objectives, where there are several; equal by default.
    """
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
    whole = []
    for other in cached_trials(study, states):
        if (trial is not None and trial_id(other) == trial_id(trial)) or not other.params:
            continue
        config = {p.name: other.params[p.name] for p in space.parameters if p.name in other.params}
        active = [p.name for p in space.parameters if space.is_active(p, config)]
        if list(config) == active:
            done = other.state in (TrialState.COMPLETE, TrialState.PRUNED)
            whole.append((config, other.values if done else None, other.state))
    values = _as_one([v for _, v, _ in whole if v], study.directions, weights)
    return [Observation(c, next(values) if v else None, state) for c, v, state in whole]


def _as_one(
    values: list[list[float]], directions: Sequence[StudyDirection], weights: np.ndarray | None
) -> Iterator[float]:
    """One number, higher is better, for each trial's values."""
    signs = [1.0 if d == StudyDirection.MAXIMIZE else -1.0 for d in directions]
    if len(signs) == 1 or not values:
        return iter([signs[0] * v[0] for v in values])
    equal = np.full(len(signs), 1 / len(signs))
    return iter(scalarised(np.array(values) * signs, equal if weights is None else weights))


def _shared_space(study: optuna.Study) -> Space:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    shared = optuna.search_space.intersection_search_space(trials)
    return Space("shared", [Parameter(name, shared[name]) for name in sorted(shared)])
