"""Regularised evolution: a population that forgets its oldest, children by one mutation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...spaces import Config, Space
from .base import Observation, SpaceSampler


class EvolutionSampler(SpaceSampler):
    """Tournament selection among the latest trials; a child differs in one choice.

    Mutating a choice draws the choices that are conditional on it anew. Mutations that lead to a
    configuration which was tried are repeated, up to twenty times.

    Source: Real et al., *Regularized Evolution for Image Classifier Architecture Search*, AAAI
    2019.

    Args:
        space: What can be chosen.
        seed: With the slot, the only source of randomness.
        population: The number of latest trials that may be parents; as many first trials are
            random.
        tournament: The number of them that compete to be the parent.
    """

    def __init__(
        self,
        space: Space | None = None,
        *,
        seed: int = 0,
        population: int = 20,
        tournament: int = 5,
    ) -> None:
        super().__init__(space, seed=seed)
        self.population = population
        self.tournament = tournament

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        if len(history) < len(space.defaults):
            return space.defaults[len(history)]
        done = [o for o in history if o.value is not None]
        if len(history) < self.population or not done:
            return space.sample(rng)
        parent = self.parent(done, rng)
        tried = [space.canonical(o.config) for o in history]
        child = mutate(space, parent, rng)
        for _ in range(20):
            if space.canonical(child) not in tried:
                break
            child = mutate(space, parent, rng)
        return child

    def parent(self, done: Sequence[Observation], rng: np.random.Generator) -> Config:
        """The winner of a tournament among the latest of the trials that have a value."""
        alive = done[-self.population :]
        drawn = rng.choice(len(alive), size=min(self.tournament, len(alive)), replace=False)
        competing = [alive[int(i)] for i in drawn]
        return max(competing, key=lambda o: o.value or 0.0).config


def mutate(space: Space, config: Config, rng: np.random.Generator) -> Config:
    """A copy in which one active choice, with those conditional on it, is drawn anew."""
    names = [p.name for p in space.parameters if p.name in config and not p.distribution.single()]
    if not names:
        return dict(config)
    name = names[int(rng.integers(len(names)))]
    others = {k: v for k, v in config.items() if k != name}
    for _ in range(10):
        child = space.sample(rng, others)
        if child[name] != config[name]:
            break
    return child
