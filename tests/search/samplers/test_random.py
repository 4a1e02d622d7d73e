"""Random search."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bequest.search.samplers.random import RandomSampler
from bequest.spaces import Space
from bequest.testing.samplers import FINITE, SamplerConformance, run, sequence
from tests.search.proposals import SPACES, check, proposals


class TestRandomSampler(SamplerConformance):
    name = "random"

    def test_draws_are_uniform_over_the_choices(self) -> None:
        study = run(RandomSampler(FINITE, seed=0), FINITE, 600)
        counts = Counter(params["a"] for params in sequence(study))
        assert np.allclose([counts[a] for a in "xyz"], 200, atol=45)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_proposals_are_those_of_version_0_1(space: Space) -> None:
    check(f"random {space.name}", proposals(RandomSampler(space, seed=1), space, 18))
