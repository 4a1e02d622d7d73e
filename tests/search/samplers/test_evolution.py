"""Regularised evolution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from bequest.search.samplers.base import Observation
from bequest.search.samplers.evolution import EvolutionSampler, mutate
from bequest.spaces import Config, Space
from bequest.testing.samplers import CONDITIONAL, FINITE, SamplerConformance, score
from tests.search.proposals import SPACES, check, proposals


def observed(configs: list[Config]) -> list[Observation]:
    return [Observation(config, score(config), TrialState.COMPLETE) for config in configs]


class TestEvolutionSampler(SamplerConformance):
    name = "evolution"
    trials = 26

    def test_a_child_differs_from_the_tournaments_winner_in_one_choice(self) -> None:
        rng = np.random.default_rng(0)
        sampler = EvolutionSampler(CONDITIONAL, population=6, tournament=6)
        history = observed([CONDITIONAL.sample(rng) for _ in range(6)])
        winner = max(history, key=lambda o: o.value or 0.0).config
        child = sampler.propose(CONDITIONAL, history, rng)
        assert len(changed(CONDITIONAL, winner, child)) == 1

    def test_the_oldest_are_forgotten(self) -> None:
        rng = np.random.default_rng(0)
        best = {"layer": "gat", "heads": 4, "dropout": 0.0, "rate": 0.02, "fixed": "only"}
        others = [{"layer": "none", "rate": r, "fixed": "only"} for r in (0.05, 0.06, 0.07)]
        sampler = EvolutionSampler(CONDITIONAL, population=3, tournament=3)
        history = observed([best, *others])
        children = [sampler.propose(CONDITIONAL, history, rng) for _ in range(20)]
        assert all(child.get("dropout") != 0.0 for child in children)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_a_mutant_is_valid_and_differs_in_one_choice_and_what_hangs_on_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for space in (CONDITIONAL, FINITE):
        parent = space.sample(rng)
        child = space.validate(mutate(space, parent, rng))
        assert len(changed(space, parent, child)) == 1


def changed(space: Space, parent: Config, child: Config) -> list[str]:
    """The choices that both have and that differ; there are others only where these opened them."""
    return [n for n in parent if n in child and parent[n] != child[n]]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_proposals_are_those_of_version_0_1(space: Space) -> None:
    check(f"evolution {space.name}", proposals(EvolutionSampler(space, seed=1), space, 28))
