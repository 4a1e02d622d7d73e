"""Small graphs that tests of the evaluators share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import erdos_renyi_graph

from bequest import GraphClassification, LinkPrediction, NodeClassification


def make_graph(nodes: int = 60, classes: int = 3, seed: int = 0) -> Data:
    """A random graph whose features tell the class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    x = torch.randn(nodes, 5, generator=generator)
    x[torch.arange(nodes), y] += 2.0
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        edges = erdos_renyi_graph(nodes, 0.1)
    return Data(x=x, edge_index=edges, y=y)


@pytest.fixture
def graph() -> Data:
    return make_graph()


@pytest.fixture
def node_task(graph: Data) -> NodeClassification:
    return NodeClassification(graph, name="toy-nodes")


@pytest.fixture
def link_task(graph: Data) -> LinkPrediction:
    return LinkPrediction(graph, name="toy-links")


@pytest.fixture
def graphs() -> list[Data]:
    made = []
    for i in range(40):
        drawn = make_graph(12 + i % 5, seed=i)
        drawn.y = torch.tensor([i % 2])
        drawn.x = drawn.x + (i % 2)
        made.append(drawn)
    return made


@pytest.fixture
def graph_task(graphs: list[Data]) -> GraphClassification:
    return GraphClassification(graphs, name="toy-graphs")


@pytest.fixture
def tasks(
    node_task: NodeClassification, link_task: LinkPrediction, graph_task: GraphClassification
) -> dict[str, NodeClassification | LinkPrediction | GraphClassification]:
    return {"node": node_task, "link": link_task, "graph": graph_task}


@pytest.fixture
def new_graph() -> Callable[..., Data]:
    return make_graph
