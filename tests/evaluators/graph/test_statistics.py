"""Statistics of tasks: exact on graphs that can be counted by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from bequest import GraphClassification, LinkPrediction, NodeClassification
from bequest.evaluators.graph.statistics import graph_statistics


def _mask(*nodes: int) -> torch.Tensor:
    return torch.zeros(5, dtype=torch.bool).index_fill(0, torch.tensor(nodes), True)


def _kite() -> Data:
    """A triangle 0-1-2, a tail 2-3, and 4 alone; one link given in both directions, one loop."""
    edges = torch.tensor([[0, 1, 1, 2, 2, 4], [1, 0, 2, 0, 3, 4]])
    masks = {"train_mask": _mask(0, 1), "val_mask": _mask(2, 3), "test_mask": _mask(4)}
    return Data(x=torch.ones(5, 3), edge_index=edges, y=torch.tensor([0, 0, 1, 1, 0]), **masks)


def test_a_graph_counted_by_hand() -> None:
    found = graph_statistics(NodeClassification(_kite(), name="kite"))
    assert found == pytest.approx(
        {
            "log_nodes": math.log(5),
            "log_edges": math.log(5),  # log(1 + 4 links)
            "mean_degree": 8 / 5,
            "degree_deviation": math.sqrt((4 + 4 + 9 + 1) / 5 - 1.6**2),
            "homophily": 2 / 4,
            "clustering": (1 + 1 + 1 / 3) / 5,
            "log_features": math.log(3),
            "log_classes": math.log(2),
            "class_entropy": 1.0,
            "log_graphs": 0.0,
            "is_node": 1.0,
            "is_graph": 0.0,
        }
    )


def test_many_graphs_are_described_by_their_means() -> None:
    triangle = torch.tensor([[0, 1, 2], [1, 2, 0]])
    graphs = [
        Data(x=torch.ones(3, 2), edge_index=triangle, y=torch.tensor([i % 2])) for i in range(20)
    ]
    found = graph_statistics(GraphClassification(graphs, name="triangles"))
    assert found["log_nodes"] == pytest.approx(math.log(3))
    assert found["log_edges"] == pytest.approx(math.log(4))
    assert found["log_graphs"] == pytest.approx(math.log(16))  # test graphs are not counted
    assert (found["mean_degree"], found["clustering"], found["is_graph"]) == (2, 1, 1)


def test_labels_of_the_test_part_do_not_count(graph: Data) -> None:
    before = NodeClassification(graph, name="toy")
    changed = graph.clone()
    changed.train_mask, changed.val_mask, changed.test_mask = torch.zeros(3, 60, dtype=torch.bool)
    split = before.split(0)
    changed.train_mask[split.train] = True
    changed.val_mask[split.validation] = True
    changed.test_mask[split.test] = True
    found = graph_statistics(NodeClassification(changed, name="toy"))
    changed.y = changed.y.clone()
    changed.y[split.test] = 0
    assert graph_statistics(NodeClassification(changed, name="toy")) == found


def test_held_out_links_do_not_count(link_task: LinkPrediction) -> None:
    found = graph_statistics(link_task, seed=1)
    links = link_task.split(1)[0].edge_index.shape[1] / 2
    assert found["log_edges"] == pytest.approx(math.log1p(links))
    assert found["homophily"] == found["is_node"] == found["is_graph"] == 0


def test_sampled_clustering_is_near_the_true_one(
    new_graph: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    import networkx

    data = new_graph(nodes=400)
    data.edge_index = torch.stack([torch.arange(400).repeat_interleave(3), _next_three(400)])
    task = NodeClassification(data, name="ring")
    true = networkx.average_clustering(to_networkx(data, to_undirected=True))
    assert graph_statistics(task)["clustering"] == pytest.approx(true)
    monkeypatch.setattr("bequest.evaluators.graph.statistics.SAMPLE", 100)
    assert graph_statistics(task)["clustering"] == pytest.approx(true, abs=0.02)


def _next_three(nodes: int) -> torch.Tensor:
    """The next three nodes on a ring, some of them replaced by a far one."""
    targets = (torch.arange(nodes).view(-1, 1) + torch.tensor([1, 2, 3])) % nodes
    targets[::7, 2] = (targets[::7, 2] + nodes // 2) % nodes
    return targets.flatten()
