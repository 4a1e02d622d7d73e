"""Networks brought under their limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.evaluators.hardware.model import LayerCostModel
from bequest.evaluators.hardware.totals import NetworkCosts
from bequest.evaluators.once_for_all.evaluator import ends
from bequest.search.two_stage.once_for_all.evolution import (
    MARGIN,
)
from bequest.search.two_stage.once_for_all.repair import Repair
from bequest.search.two_stage.once_for_all.sensitivity import learn
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import INPUTS, SEVEN, Networks, joined

HEAD, TAIL = ends(SMALL, 1, 10, 28)
COSTS = NetworkCosts(SMALL, LayerCostModel.load().table(SMALL, HEAD, TAIL), HEAD, TAIL)


def score(networks: Networks) -> np.ndarray:
    """Channels, kernels and depth help; bits of the first block matter most."""
    there = networks.there
    weight = np.linspace(3, 1, there.shape[1])
    good = networks.channels / 4 + networks.kernel / 3 + 1 - 0.3 * (2 - networks.bits).sum(2)
    return np.asarray((good * weight * there).sum(1))


RNG = np.random.default_rng(0)
SENSITIVITY = learn(SMALL, score, np.random.default_rng(0))


@given(st.integers(0, 2**31), st.floats(MARGIN, 12))
@settings(max_examples=25)
def test_children_are_feasible_down_to_the_smallest_network(seed: int, times: float) -> None:
    rng = np.random.default_rng(seed)
    networks = Networks.sample(SMALL, 100, rng)
    names = ("latency", "size")
    least = np.array([COSTS.smallest(name) for name in names])
    # Both at once: the least latency and the least size are not the same network's.
    limits = np.tile(least * np.array([times, max(times, 1.3)]), (100, 1))
    made = Repair(COSTS, names, SENSITIVITY)(networks, limits, rng)
    assert made.valid.all()
    assert (COSTS(made, names) <= limits).all(1).mean() >= 0.99


@pytest.mark.parametrize("name", COSTS.names)
@pytest.mark.parametrize("times", [MARGIN, 1.5])
def test_every_cost_can_be_limited(name: str, times: float) -> None:
    """The least energy is not that of the fewest bits."""
    networks = Networks.sample(SMALL, 200, RNG)
    limits = np.full((200, 1), COSTS.smallest(name) * times)
    made = Repair(COSTS, (name,), SENSITIVITY)(networks, limits, RNG)
    assert made.valid.all()
    assert (COSTS.total(made, name) <= limits[:, 0] * (1 + 1e-9)).mean() >= 0.99


def test_what_is_feasible_stays_as_it_is() -> None:
    networks = Networks.sample(SMALL, 20, RNG)
    before = networks.keys()
    limits = np.full((20, 1), 1e9)
    assert Repair(COSTS, ("latency",), SENSITIVITY)(networks, limits, RNG).keys() == before


def test_bits_fall_first_and_where_they_matter_least() -> None:
    networks = Networks.default(SMALL, 1)
    networks.channels[:] = 2
    latency = COSTS.total(networks, "latency")
    repair = Repair(COSTS, ("latency",), SENSITIVITY, noise=0.0)
    made = repair(networks, latency[:, None] * 0.9, RNG)
    np.testing.assert_array_equal(made.depth, networks.depth)
    np.testing.assert_array_equal(made.channels, networks.channels)
    lowered = (networks.bits - made.bits)[0].sum(1)
    assert lowered.sum() > 0
    assert lowered[0] == 0  # the first block's bits matter three times as much as the last one's
    tight = repair(networks, np.array([[COSTS.smallest("latency") * MARGIN]]), RNG)
    assert tight.depth.sum() < networks.depth.sum()
    assert tight.channels.sum() < networks.channels.sum()


@pytest.mark.parametrize("name", ["latency", "size"])
@pytest.mark.parametrize("kind", ["bits", "channels", "kernel", "depth"])
def test_the_saving_of_each_step_is_what_the_costs_say(name: str, kind: str) -> None:
    """Each gene lowered alone, and the whole network's cost compared."""
    networks = Networks.sample(SMALL, 3, np.random.default_rng(4)).mended()
    repair = Repair(COSTS, (name,), SENSITIVITY)
    genes = getattr(networks, kind)
    steps = np.ones(genes.shape, dtype=np.int64)
    saved = repair._saved(networks, kind, steps, name).reshape(genes.shape)
    before = COSTS.total(networks, name)
    for place in np.ndindex(*genes.shape[1:]):
        lowered = joined([networks])
        column = getattr(lowered, kind)[(slice(None), *place)]
        least = np.array(SMALL.depths(place[0])[0] if kind == "depth" else 0)
        possible = column > least
        if kind == "bits" and place[-1] == INPUTS:
            possible &= (networks.kernel[:, place[0]] != SEVEN) | (column > 1)
        getattr(lowered, kind)[(slice(None), *place)] = np.where(possible, column - 1, column)
        expected = before - COSTS.total(lowered, name)
        np.testing.assert_allclose(saved[(slice(None), *place)], expected, atol=1e-9)


def test_two_levels_of_bits_lose_both_steps() -> None:
    networks = Networks.default(SMALL, 1)
    networks.bits[:] = 2
    repair = Repair(COSTS, ("latency",), SENSITIVITY)
    one = repair._losses(networks, "bits", np.ones(networks.bits.shape, dtype=np.int64))
    two = repair._losses(networks, "bits", np.full(networks.bits.shape, 2))
    levels = SENSITIVITY.bits.reshape(-1, 3)
    np.testing.assert_allclose(one[0], levels[:, 2])
    np.testing.assert_allclose(two[0], levels[:, 1] + levels[:, 2])
    steps = np.full(networks.channels.shape, 3)
    channels = repair._losses(networks, "channels", steps)
    np.testing.assert_allclose(channels[0], 3 * SENSITIVITY.channels)


def test_noise_makes_children_of_one_network_differ() -> None:
    networks = joined([Networks.default(SMALL, 1)] * 30)
    limits = COSTS.total(networks, "latency")[:, None] * 0.6
    rng = np.random.default_rng(0)
    same = Repair(COSTS, ("latency",), SENSITIVITY, noise=0.0)(networks, limits, rng)
    assert len(set(same.keys())) == 1
    varied = Repair(COSTS, ("latency",), SENSITIVITY, noise=0.5)(networks, limits, rng)
    assert len(set(varied.keys())) > 5
    assert COSTS.total(varied, "latency").min() > 0.4 * limits.min(), "no more than is needed"


def test_kinds_that_are_not_searched_stay() -> None:
    networks = Networks.default(SMALL, 5)
    limits = COSTS.total(networks, "latency")[:, None] * 0.7
    kinds = (("channels", "kernel"), ("depth",))
    repaired = Repair(COSTS, ("latency",), SENSITIVITY, kinds=kinds)(networks, limits, RNG)
    np.testing.assert_array_equal(repaired.bits, networks.bits)
    assert (COSTS.total(repaired, "latency") <= limits[:, 0]).all()
