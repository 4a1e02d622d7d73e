"""Random search: uniform draws from the space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...spaces import Config, Space
from .base import Observation, SpaceSampler


class RandomSampler(SpaceSampler):
    """Draws every configuration from the space, independently of earlier trials.

    Source: Bergstra and Bengio, *Random Search for Hyper-Parameter Optimization*, JMLR 2012.
    """

    reads_history = False

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        return space.sample(rng)
