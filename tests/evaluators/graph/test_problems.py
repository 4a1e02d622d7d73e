"""Problems: what a training may see of a task."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from bequest import GraphClassification, LinkPrediction, NodeClassification
from bequest.evaluators.graph.network import GraphNetwork
from bequest.evaluators.graph.problems import PARTS, GraphProblem, LinkProblem, NodeProblem
from bequest.evaluators.graph.sparse import SparseMatrix
from bequest.spaces.gnn import gnn_space

CPU = torch.device("cpu")


def _config(kind: str, **changes: Any) -> dict[str, Any]:
    return {**(gnn_space(kind).default or {}), **changes}


def _pairs(edge_index: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(sorted(edge)) for edge in edge_index.t().tolist()}


def test_held_out_links_pass_no_messages(link_task: LinkPrediction) -> None:
    problem: Any = LinkProblem(link_task, _config("link"), 3, CPU)
    held_out = {
        part: _pairs(problem.graphs[part].edge_label_index[:, problem.graphs[part].edge_label > 0])
        for part in ("validation", "test")
    }
    for part in PARTS:
        seen = _pairs(problem.edges[part].edge_index)
        assert not seen & held_out["test"]
        assert part == "test" or not seen & held_out["validation"]
    problem.merge_validation()
    seen = _pairs(problem.edges["train"].edge_index)
    assert held_out["validation"] <= seen
    assert not seen & held_out["test"]
    assert _pairs(problem.graphs["train"].edge_label_index) == seen


def test_merging_validation_leaves_the_test_part_out(
    node_task: NodeClassification, graph_task: GraphClassification
) -> None:
    problem = NodeProblem(node_task, _config("node"), 0, CPU)
    split = node_task.split(0)
    problem.merge_validation()
    (learned,) = problem.batches()
    assert set(learned.tolist()) == {*split.train.tolist(), *split.validation.tolist()}
    graphs = GraphProblem(graph_task, _config("graph"), 0, CPU)
    graphs.merge_validation()
    assert len(graphs.graphs["train"]) == 24 + 8


@pytest.mark.parametrize("batch_size", [16, 23])
def test_an_epoch_sees_every_graph_but_no_batch_of_one(
    graph_task: GraphClassification, batch_size: int
) -> None:
    problem = GraphProblem(graph_task, _config("graph", batch_size=batch_size), 0, CPU)
    sizes = [len(batch.y) for batch in problem.batches()]
    assert sizes == {16: [16, 8], 23: [23]}[batch_size]


def test_a_batch_is_its_graphs_side_by_side(graph_task: GraphClassification) -> None:
    problem = GraphProblem(graph_task, _config("graph"), 0, CPU)
    network = GraphNetwork(_config("graph"), 5, 2, "graph").eval()
    index = graph_task.split(0).validation
    one_by_one = torch.cat(
        [
            network(g.x, g.edge_index, torch.zeros(len(g.x), dtype=torch.int64))
            for g in (graph_task.graphs[i] for i in index)
        ]
    )
    assert torch.allclose(problem.forward(network), one_by_one, atol=1e-4)
    assert torch.equal(problem.fixed["validation"].y, graph_task.labels[index])


def test_bags_of_words_are_kept_sparse(node_task: NodeClassification) -> None:
    dense = NodeProblem(node_task, _config("node"), 0, CPU)
    assert isinstance(dense.x, torch.Tensor)
    node_task.data.x = node_task.data.x * (node_task.data.x > 2)
    sparse = NodeProblem(node_task, _config("node"), 0, CPU)
    assert isinstance(sparse.x, SparseMatrix)
    network = GraphNetwork(_config("node"), 5, 3, "node").eval()
    expected = network(node_task.data.x, node_task.data.edge_index)
    assert torch.allclose(sparse.forward(network), expected, atol=1e-5)


def test_links_scored_without_numbers_rank_nothing(link_task: LinkPrediction) -> None:
    """One exploded score is enough: the others say nothing."""
    problem = LinkProblem(link_task, _config("link"), 0, CPU)

    class Exploded(torch.nn.Module):
        def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
            embedding = torch.ones(link_task.data.num_nodes, 2)
            embedding[int(problem.graphs["test"].edge_label_index[0, 0])] = torch.nan
            return embedding

    assert problem.score(Exploded(), "test") == (0.5, math.inf)
