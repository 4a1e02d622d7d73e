"""Networks: invariants of every layer type, and exact sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from bequest.evaluators.cost import count_flops, count_parameters
from bequest.evaluators.graph.network import GraphNetwork, drop, starts_linear
from bequest.evaluators.graph.sparse import Adjacency, SparseMatrix
from bequest.spaces.gnn import AGGREGATING, LAYERS, STAGES, gnn_space


def _config(**changes: Any) -> dict[str, Any]:
    config = {**(gnn_space().default or {}), "width": 8, "layers_pre": 1, "layers_post": 1}
    config |= changes
    if config["layer"] in AGGREGATING:
        config.setdefault("aggregation", "mean")
    if config["layer"] == "gat":
        config.setdefault("heads", 2)
    if config["layer"] == "cheb":
        config.setdefault("order", 2)
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
    links = graph.edge_index.shape[1] + 60  # GCN adds a loop at each node
    products = 2 * 60 * (5 * 8 + 8 * 8 + 8 * 3) + 2 * links * 8
    assert count_flops(lambda: network(graph.x, graph.edge_index), network) == products
    edges = Adjacency(graph.edge_index, 60)
    assert count_flops(lambda: network(graph.x, edges), network) == products
    x = graph.x * (graph.x > 1)
    fewer = 2 * 8 * (60 * 5 - int((x != 0).sum()))
    sparse = SparseMatrix.of(x)
    assert count_flops(lambda: network(sparse, edges), network) == products - fewer


@pytest.mark.parametrize(
    ("layer", "aggregation"),
    [(layer, "fixed") for layer in LAYERS if layer not in AGGREGATING]
    + [(layer, aggregation) for layer in AGGREGATING for aggregation in ("sum", "mean", "max")],
)
@pytest.mark.parametrize("stage", STAGES)
def test_products_compute_what_messages_compute(
    layer: str, stage: str, aggregation: str, graph: Data
) -> None:
    """Outputs and gradients, with duplicate edges, a loop and a node without edges."""
    torch.manual_seed(0)
    changes = {"aggregation": aggregation} if layer in AGGREGATING else {}
    network = GraphNetwork(_config(layer=layer, stage=stage, **changes), 5, 3, "node").eval()
    index = graph.edge_index[:, (graph.edge_index != 7).all(dim=0)]
    index = torch.cat([index, index[:, :9], torch.tensor([[3], [3]])], dim=1)
    found = []
    for edges in (index, Adjacency(index, 60)):
        network.zero_grad()
        output = network(graph.x, edges)
        output.square().sum().backward()
        found.append((output, [p.grad for p in network.parameters() if p.grad is not None]))
    (slow, slow_gradients), (fast, fast_gradients) = found
    assert torch.allclose(slow, fast, atol=1e-4, rtol=1e-4)
    if aggregation == "max":  # where neighbours tie, either may have the gradient
        return
    for one, other in zip(slow_gradients, fast_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("pre", [0, 1])
@pytest.mark.parametrize("layer", LAYERS)
def test_sparse_features_give_the_same(layer: str, pre: int, graph: Data) -> None:
    torch.manual_seed(0)
    config = _config(layer=layer, layers_pre=pre)
    assert starts_linear(config, inputs=5)
    network = GraphNetwork(config, 5, 3, "node").eval()
    x = graph.x * (graph.x > 1)
    edges = Adjacency(graph.edge_index, 60)
    dense, sparse = network(x, edges), network(SparseMatrix.of(x), edges)
    assert torch.allclose(dense, sparse, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "inputs"),
    [
        ({"stage": "skip-concat"}, 5),
        ({"layer": "general"}, 8),
        ({"layer": "sage", "aggregation": "max"}, 5),
    ],
)
def test_features_that_are_used_as_they_are_stay_dense(
    changes: dict[str, Any], inputs: int
) -> None:
    assert not starts_linear(_config(layers_pre=0, **changes), inputs)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_dropout_drops_its_share_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(401, 301)
    sparse = drop(SparseMatrix.of(x), share, training=True)
    assert isinstance(sparse, SparseMatrix)
    for dropped in (drop(x, share, training=True), sparse.values):
        assert isinstance(dropped, torch.Tensor)
        assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])
        assert abs(float((dropped == 0).float().mean()) - share) < 0.01
    assert drop(x, share, training=False) is x


def test_dropout_is_independent_between_neighbours() -> None:
    torch.manual_seed(0)
    dropped = drop(torch.ones(400_000), 0.5, training=True)
    assert isinstance(dropped, torch.Tensor)
    kept = (dropped > 0).float() * 2 - 1
    for lag in range(1, 9):
        assert abs(float((kept[:-lag] * kept[lag:]).mean())) < 0.01
