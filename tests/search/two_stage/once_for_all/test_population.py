"""Mutation, crossover, and who may be a parent."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.search.two_stage.once_for_all.population import Pool, crossover, mutate
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks

RNG = np.random.default_rng(0)


def pool(scores: list[float], costs: list[list[float]]) -> Pool:
    networks = Networks.sample(SMALL, len(scores), RNG)
    return Pool(networks, np.array(scores), np.array(costs))


def test_parents_of_a_target_are_the_best_that_meet_it() -> None:
    some = pool([1, 5, 3, 4], [[1, 1], [9, 1], [2, 2], [1, 9]])
    assert some.fit_for(np.array([2.0, 2.0]), 5).tolist() == [2, 0]
    assert some.fit_for(np.array([2.0, 2.0]), 1).tolist() == [2]
    assert some.fit_for(np.array([0.5, 0.5]), 1).tolist() == [0, 1, 2, 3], "while none meets it"


def test_the_best_of_any_target_stay() -> None:
    some = pool([1, 5, 3, 4], [[1, 1], [9, 1], [2, 2], [1, 9]])
    left = some.best(np.array([[2.0, 2.0], [1.0, 9.0]]), 1)
    assert sorted(left.scores) == [3, 4]
    both = left.joined(some)
    assert len(both.networks) == len(both.scores) == len(both.costs) == 6


def test_a_child_has_each_block_and_depth_from_either_parent() -> None:
    first, second = (Networks.sample(SMALL, 200, np.random.default_rng(i)) for i in (1, 2))
    child = crossover(first, second, RNG)
    blocks = np.stack(
        [
            (child.kernel == parent.kernel)
            & (child.channels == parent.channels)
            & (child.bits == parent.bits).all(2)
            for parent in (first, second)
        ]
    )
    assert blocks.any(0).all()
    assert 0.4 < blocks[0].mean() < 0.6
    depths = np.stack([child.depth == parent.depth for parent in (first, second)])
    assert depths.any(0).all()
    same = first.depth == second.depth
    assert 0.3 < (child.depth == first.depth)[~same].mean() < 0.7


@pytest.mark.parametrize("chance", [0.0, 0.1, 1.0])
def test_a_block_mutates_with_its_chance_and_each_gene_of_it_with_a_half(chance: float) -> None:
    networks = Networks.sample(SMALL, 2_000, RNG)
    before = networks.keys()
    mutants = mutate(networks, chance, RNG)
    assert networks.keys() == before, "the parents stay as they are"
    # A gene that is drawn anew is another one in 1 - 1 / options of all cases.
    options = networks.kernel.max() + 1
    changed = (mutants.kernel != networks.kernel).mean()
    assert changed == pytest.approx(chance / 2 * (1 - 1 / options), abs=0.02)
    bits = (mutants.bits != networks.bits).mean()
    assert bits == pytest.approx(chance / 2 * (1 - 1 / (networks.bits.max() + 1)), abs=0.02)
    depth = (mutants.depth != networks.depth).mean()
    assert depth <= chance
    assert (depth > 0.3 * chance) or chance == 0
    whole = ((mutants.bits != networks.bits).any(2) | (mutants.kernel != networks.kernel)).mean()
    assert whole <= chance + 0.02
