"""Costs of layers and of whole networks."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.common.errors import ConfigurationError, DataError
from bequest.evaluators.cost import count_flops, count_parameters
from bequest.evaluators.hardware.model import FEATURES, LayerCostModel, layers_of
from bequest.evaluators.hardware.table import Cost, CostTable, key_of
from bequest.evaluators.hardware.timing import timed_table
from bequest.evaluators.hardware.totals import UNITS, NetworkCosts
from bequest.evaluators.once_for_all.evaluator import ends
from bequest.evaluators.once_for_all.network import BottleneckNetwork, Cut
from bequest.spaces.elastic import BITS, KERNELS, PUBLISHED, SMALL, Geometry, Layer
from bequest.spaces.elastic_genes import EIGHT, Networks

BITFUSION = Path(os.environ.get("BEQUEST_DATA", "")) / "bitfusion" / "latency_energy.json"
needs_table = pytest.mark.skipif(
    not BITFUSION.is_file(), reason="needs bitfusion/latency_energy.json in BEQUEST_DATA"
)


@pytest.fixture(scope="module")
def small() -> NetworkCosts:
    head, tail = ends(SMALL, 1, 10, 28)
    return NetworkCosts(SMALL, LayerCostModel.load().table(SMALL, head, tail), head, tail)


@needs_table
def test_the_published_totals() -> None:
    costs = NetworkCosts(PUBLISHED, CostTable.load(BITFUSION))
    networks = Networks.default(PUBLISHED, len(BITS))
    networks.kernel[:] = 1
    networks.channels[:] = [len(block.channels) - 1 for block in PUBLISHED.all_blocks]
    networks.bits[:] = np.arange(len(BITS))[:, None, None]
    latency = costs.total(networks, "latency")
    np.testing.assert_allclose(latency, [10.59, 26.22, 26.47], atol=0.005)
    depthwise = Networks.default(PUBLISHED, 2)
    depthwise.bits[1, :, 2:] = 1
    ratio = costs.by_block(depthwise, "latency").sum(1)
    assert 0.9 < ratio[1] / ratio[0] < 1


@needs_table
def test_the_model_of_the_table() -> None:
    table = CostTable.load(BITFUSION)
    model, bundled = LayerCostModel.fit(table), LayerCostModel.load()
    errors = []
    for layer in layers_of(PUBLISHED):
        for bits in ((4, 6), (8, 8)):
            known, said = table.cost(layer, *bits), model.cost(layer, *bits)
            errors.append(abs(said.latency / known.latency - 1))
            assert said.energy == pytest.approx(bundled.cost(layer, *bits).energy)
    assert np.mean(errors) < 0.08
    assert max(errors) < 0.4


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_totals_are_sums_of_layers(seed: int) -> None:
    head, tail = ends(SMALL, 3, 10, 28)
    table = LayerCostModel.load().table(SMALL, head, tail)
    costs = NetworkCosts(SMALL, table, head, tail)
    networks = Networks.sample(SMALL, 1, np.random.default_rng(seed))
    total = table.head.latency + table.tail.latency
    cut = Cut.of(networks)
    for b, kernel, channels in zip(cut.blocks, cut.kernels, cut.channels, strict=True):
        bits = [BITS[i] for i in networks.bits[0, b]]
        up, middle, down = SMALL.all_blocks[b].layers(kernel, channels)
        for layer, its in ((up, bits[:2]), (middle, bits[2:]), (down, bits[:2])):
            total += table.cost(layer, *its).latency
    assert costs.total(networks, "latency")[0] == pytest.approx(total)
    assert costs.smallest("latency") <= total
    network = BottleneckNetwork(SMALL, cut, 3, 10).eval()
    x = torch.zeros(1, 3, 28, 28)
    flops = count_flops(lambda: network(x), network)
    assert costs.total(networks, "flops")[0] == flops
    assert costs.total(networks, "parameters")[0] == count_parameters(network)


def test_the_smallest_network_is_the_cheapest(small: NetworkCosts) -> None:
    networks = Networks.default(SMALL, 1)
    networks.depth[:] = [2, 2, 1]
    networks.bits[:] = 0
    for name in ("size", "parameters", "flops"):
        assert small.total(networks, name)[0] == pytest.approx(small.smallest(name))
    # The fitted model has a bit pair that is cheaper still: the least is over all of them.
    assert small.smallest("latency") <= small.total(networks, "latency")[0]
    drawn = Networks.sample(SMALL, 500, np.random.default_rng(0))
    for name in UNITS:
        assert small.total(drawn, name).min() >= small.smallest(name)
        assert small.total(drawn, name).max() <= small.largest(name)


def test_the_largest_network_is_the_dearest(small: NetworkCosts) -> None:
    networks = Networks.default(SMALL, 1)
    networks.depth[:] = [SMALL.depths(stage)[-1] for stage in range(len(networks.depth[0]))]
    networks.kernel[:] = len(KERNELS) - 1
    networks.channels[:] = [len(block.channels) - 1 for block in SMALL.all_blocks]
    networks.bits[:] = len(BITS) - 1
    for name in ("size", "parameters", "flops"):
        assert small.total(networks, name)[0] == pytest.approx(small.largest(name))


def test_fewer_bits_cost_less(small: NetworkCosts) -> None:
    networks = Networks.default(SMALL, 2)
    networks.bits[1, :, 0] = EIGHT - 1
    costs = small(networks, ["latency", "size", "parameters"])
    assert costs[1, 0] < costs[0, 0]
    assert costs[1, 1] < costs[0, 1]
    assert costs[1, 2] == costs[0, 2]


def test_an_invalid_network_has_no_latency(small: NetworkCosts) -> None:
    networks = Networks.default(SMALL, 1)
    networks.kernel[:], networks.bits[:] = 2, 0
    assert math.isnan(small.total(networks, "latency")[0])
    assert not math.isnan(small.total(networks.mended(), "latency")[0])


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    layer = Layer(16, 64, 112)
    assert key_of(layer, 4, 8) == "(16, 64, 112, 1, 1, 0, 1)-W4A8"
    entries = {key_of(layer, 4, 8): Cost(1.5, 2.5), "head": Cost(1.0), "tail": Cost(0.5)}
    table = CostTable(entries)
    table.save(tmp_path / "table.json")
    back = CostTable.load(tmp_path / "table.json")
    assert back.cost(layer, 4, 8) == Cost(1.5, 2.5)
    assert math.isnan(back.head.energy)
    assert math.isnan(back.cost(layer, 8, 8).latency)


def test_a_table_without_energy_offers_none() -> None:
    head, tail = ends(SMALL, 1, 10, 28)
    full = LayerCostModel.load().table(SMALL, head, tail)
    table = CostTable({key: Cost(cost.latency) for key, cost in full.entries.items()})
    assert "energy" not in NetworkCosts(SMALL, table, head, tail).names


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no 'tail'"):
        CostTable({"head": Cost(1.0)})
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(DataError, match="cannot read the cost table"):
        CostTable.load(tmp_path / "bad.json")
    with pytest.raises(ConfigurationError, match="lacks the latency of layers of block s1b1"):
        NetworkCosts(SMALL, CostTable({"head": Cost(1.0), "tail": Cost(1.0)}))
    whole = LayerCostModel.load().table(SMALL, *ends(SMALL, 1, 10, 28)).entries
    key = key_of(SMALL.all_blocks[0].layers(3, SMALL.all_blocks[0].channels[0])[0], 8, 8)
    with pytest.raises(ConfigurationError, match="lacks the energy of layers of block"):
        NetworkCosts(SMALL, CostTable({**whole, key: Cost(whole[key].latency)}))
    for part, cost in (("tail", Cost(math.nan, 1.0)), ("head", Cost(1.0, -1.0))):
        with pytest.raises(ConfigurationError, match="of head and tail, or has a number below 0"):
            NetworkCosts(SMALL, CostTable({**whole, part: cost}))
    silent = {name: Cost(cost.latency) for name, cost in whole.items()}
    assert "energy" not in NetworkCosts(SMALL, CostTable(silent)).names


def test_a_model_needs_enough_layers(tmp_path: Path) -> None:
    entries = {key_of(Layer(8, 8 * i, 7), 8, 8): Cost(i, i) for i in range(1, len(FEATURES))}
    table = CostTable({**entries, "head": Cost(1.0), "tail": Cost(1.0)})
    with pytest.raises(DataError, match="do not tell"):
        LayerCostModel.fit(table)
    with pytest.raises(DataError, match="no costs of pointwise-W3A8"):
        LayerCostModel.load().cost(Layer(8, 8, 7), 3, 8)


def test_a_machine_is_timed_into_the_same_table(tmp_path: Path) -> None:
    geometry = Geometry(4, (8, 8), (1,), (1,))
    head, tail = ends(geometry, 1, 3, 8)
    seen: list[tuple[int, int]] = []
    table = timed_table(
        geometry, head, tail, seconds=1e-4, watts=10.0, progress=lambda *step: seen.append(step)
    )
    assert seen[-1][0] == seen[-1][1] == len(layers_of(geometry)) + 2
    table.save(tmp_path / "mine.json")
    back = CostTable.load(tmp_path / "mine.json")
    costs = NetworkCosts(geometry, back, head, tail)
    networks = Networks.sample(geometry, 3, np.random.default_rng(0))
    latency, energy = costs(networks, ["latency", "energy"]).T
    assert (latency > 0).all()
    np.testing.assert_allclose(energy, 10 * latency)
    assert (
        "energy"
        not in NetworkCosts(geometry, timed_table(geometry, head, tail, seconds=1e-4)).names
    )
