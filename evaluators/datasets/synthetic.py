"""PyTorch Geometric's synthetic graphs, drawn with a fixed seed of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.datasets import ExplainerDataset, FakeDataset
from torch_geometric.datasets.graph_generator import BAGraph
from torch_geometric.transforms import Constant
from torch_geometric.utils import stochastic_blockmodel_graph

from ..seeding import seeded

SEED = 12345
BLOCKS, BLOCK_SIZE, CHANNELS = 5, 200, 32


def load(name: str) -> Any:
    """A synthetic graph, or list of graphs, by its name; the same in every process."""
    with seeded(SEED):
        return _MAKERS[name]()


def _blocks(inside: float, outside: float) -> Data:
    """A stochastic block model; the blocks are the classes, the features noisy class means."""
    sizes = [BLOCK_SIZE] * BLOCKS
    probabilities = [[inside if i == j else outside for j in range(BLOCKS)] for i in range(BLOCKS)]
    edges = stochastic_blockmodel_graph(sizes, probabilities)
    y = torch.arange(BLOCKS).repeat_interleave(BLOCK_SIZE)
    means = torch.randn(BLOCKS, CHANNELS)
    x = means[y] * 0.35 + torch.randn(len(y), CHANNELS)
    return Data(x=x, edge_index=edges, y=y)


def _ba_shapes() -> Data:
    """Houses on a Barabasi-Albert graph; the class is a node's role in its house."""
    dataset = ExplainerDataset(BAGraph(300, 5), motif_generator="house", num_motifs=80)
    graph = dataset[0]
    x = torch.cat([torch.ones(graph.num_nodes, 1), torch.randn(graph.num_nodes, 9)], dim=1)
    return Data(x=x, edge_index=graph.edge_index, y=graph.y)


def _motif_graphs() -> list[Data]:
    """Barabasi-Albert graphs that carry a house (class 0) or a cycle (class 1)."""
    graphs = []
    for i in range(400):
        motif = "house" if i % 2 == 0 else "cycle"
        options = {} if motif == "house" else {"motif_generator_kwargs": {"num_nodes": 5}}
        drawn = ExplainerDataset(BAGraph(20, 1), motif_generator=motif, num_motifs=1, **options)[0]
        graphs.append(Data(edge_index=drawn.edge_index, y=torch.tensor([i % 2]), x=None))
        graphs[-1].num_nodes = drawn.num_nodes
    return graphs


def _fake_graphs() -> list[Data]:
    """Random graphs whose features depend weakly on the class."""
    dataset = FakeDataset(
        num_graphs=400, avg_num_nodes=20, avg_degree=4, num_channels=16, num_classes=4
    )
    fill = Constant()  # a constant feature beside the drawn ones, for degree-like sums
    return [fill(dataset[i]) for i in range(len(dataset))]


_MAKERS: dict[str, Callable[[], Any]] = {
    "sbm-homophilous": lambda: _blocks(0.04, 0.01),
    "sbm-heterophilous": lambda: _blocks(0.005, 0.02),
    "ba-shapes": _ba_shapes,
    "motif-graphs": _motif_graphs,
    "fake-graphs": _fake_graphs,
}
