"""Networks: invariants of every layer type, and exact sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from bequest.evaluators.cost import count_flops, count_parameters
from bequest.evaluators.graph_network import GraphNetwork, drop, takes_sparse_features
from bequest.spaces.gnn import AGGREGATING, LAYERS, STAGES, gnn_space


def _config(**changes: Any) -> dict[str, Any]:
    config = {**(gnn_space().default or {}), "width": 8, "layers_pre": 1, "layers_post": 1}
    config |= changes
    if config["layer"] in AGGREGATING:
        config.setdefault("aggregation", "mean")
    if config["layer"] == "gat":
        config.setdefault("heads", 2)
    return gnn_space().validate(config)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("stage", STAGES)
def test_renumbering_the_nodes_renumbers_the_output(layer: str, stage: str, graph: Data) -> None:
    torch.manual_seed(0)
    network = GraphNetwork(_config(layer=layer, stage=stage), 5, 3, "node").eval()
    order = torch.randperm(60)
    place = torch.empty(60, dtype=torch.long)
    place[order] = torch.arange(60)
    output = network(graph.x, graph.edge_index)
    renumbered = network(graph.x[order], place[graph.edge_index])
    assert torch.allclose(renumbered, output[order], atol=1e-4)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer != "mlp"])
def test_messages_reach_as_far_as_there_are_layers(layer: str) -> None:
    torch.manual_seed(0)
    line = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 4], [1, 2, 3, 4, 0, 1, 2, 3]])
    network = GraphNetwork(_config(layer=layer, layers_mp=2, dropout=0.0), 5, 3, "node").eval()
    x = torch.randn(5, 5)
    moved = x.clone()
    moved[0] += 1.0
    change = (network(x, line) - network(moved, line)).abs().sum(1)
    assert (change[:3] > 0).all()
    assert (change[3:] < 1e-6).all()


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        # one linear layer 5 -> 8, two convolutions 8 -> 8, a head 8 -> 3, biases everywhere
        ({}, (5 * 8 + 8) + 2 * (8 * 8 + 8) + (8 * 3 + 3)),
        ({"batch_norm": True}, 48 + 2 * 72 + 27 + 3 * 16),
        ({"layers_pre": 0}, 48 + 72 + 27),
        ({"layers_post": 0}, 48 + 72 + 27),
        ({"stage": "skip-concat"}, 48 + 72 + (16 * 8 + 8) + (24 * 3 + 3)),
        ({"activation": "prelu"}, 48 + 2 * 72 + 27 + 3),
    ],
)
def test_parameters_are_counted_exactly(changes: dict[str, Any], parameters: int) -> None:
    assert count_parameters(GraphNetwork(_config(**changes), 5, 3, "node")) == parameters


def test_flops_are_counted_exactly(graph: Data) -> None:
    network = GraphNetwork(_config(layers_mp=1), 5, 3, "node").eval()
    edges = graph.edge_index.shape[1]
    products = 2 * 60 * (5 * 8 + 8 * 8 + 8 * 3)
    found = count_flops(network, lambda: network(graph.x, graph.edge_index))
    assert found == products + 2 * edges * 8


@pytest.mark.parametrize("layer", ["gcn", "mlp", "gat", "sage"])
def test_sparse_features_give_the_same(layer: str, graph: Data) -> None:
    torch.manual_seed(0)
    config = _config(layer=layer, layers_pre=1 if layer in ("gat", "sage") else 0)
    assert takes_sparse_features(config)
    network = GraphNetwork(config, 5, 3, "node").eval()
    x = graph.x * (graph.x > 1)
    dense, sparse = network(x, graph.edge_index), network(x.to_sparse_csr(), graph.edge_index)
    assert torch.allclose(dense, sparse, atol=1e-5)


def test_dropout_of_sparse_features_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(300, 300).to_sparse_csr()
    dropped = drop(x, 0.5, training=True).to_dense()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert abs(float(dropped.mean()) - 1) < 0.02
    assert drop(x, 0.5, training=False) is x
