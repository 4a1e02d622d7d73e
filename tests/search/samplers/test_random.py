"""Random search."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bequest.search.samplers.random import RandomSampler
from bequest.testing.samplers import FINITE, SamplerConformance, run, sequence


class TestRandomSampler(SamplerConformance):
    name = "random"

    def test_draws_are_uniform_over_the_choices(self) -> None:
        study = run(RandomSampler(FINITE, seed=0), FINITE, 600)
        counts = Counter(params["a"] for params in sequence(study))
        assert np.allclose([counts[a] for a in "xyz"], 200, atol=45)
