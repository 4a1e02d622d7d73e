"""A task and a split as tensors on a device: batches to learn from, losses, scores.

One class for each kind of task; the training loop knows none of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from ...spaces import Config
from .network import Features, starts_linear
from .sparse import Adjacency, SparseMatrix
from .tasks import GraphClassification, GraphTask, LinkPrediction, NodeClassification

SPARSE_BELOW = 0.5
"""Below this share of non-zeros (bags of words) sparse features are faster than dense ones.

The product is from .1 on as fast as the dense one, but dropout draws for stored values only.
"""

PARTS = ("train", "validation", "test")


class Problem(Protocol):
    """What the training loop needs of a task."""

    def batches(self) -> Iterable[Any]:
        """The training batches of one epoch, drawn from torch's global stream."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """The training loss of one batch."""

    def score(self, network: nn.Module, part: str) -> tuple[float, float]:
        """(metric, loss) on one of `PARTS`."""

    def forward(self, network: nn.Module) -> Tensor:
        """One forward pass, for counting."""

    def merge_validation(self) -> None:
        """From now on, train on the validation part, too."""


def make_problem(task: GraphTask, config: Config, seed: int, device: torch.device) -> Problem:
    """The problem of a task under the split that belongs to ``seed``."""
    if isinstance(task, NodeClassification):
        return NodeProblem(task, config, seed, device)
    if isinstance(task, GraphClassification):
        return GraphProblem(task, config, seed, device)
    return LinkProblem(task, config, seed, device)


def outputs(task: GraphTask, config: Config) -> int:
    """Numbers that a network gives for each node or graph: classes, or an embedding for links."""
    return cast(int, config["width"]) if isinstance(task, LinkPrediction) else task.classes


def features(x: Tensor, config: Config, device: torch.device) -> Features:
    """Node features ``[nodes, features]`` as the configured network takes them fastest."""
    x = x.float()
    sparse = device.type == "cpu" and starts_linear(config, x.shape[1])
    if sparse and int(torch.count_nonzero(x)) < SPARSE_BELOW * x.numel():
        return SparseMatrix.of(x)
    return x.to(device)


def adjacency(edge_index: Tensor, nodes: int, device: torch.device) -> Tensor | Adjacency:
    """Edges that serve several layers or passes, as message passing takes them fastest."""
    return Adjacency(edge_index, nodes) if device.type == "cpu" else edge_index.to(device)


class NodeProblem:
    """Node classification: one batch, the whole graph."""

    def __init__(
        self, task: NodeClassification, config: Config, seed: int, device: torch.device
    ) -> None:
        self.x = features(task.data.x, config, device)
        self.edges = adjacency(task.data.edge_index, int(task.data.num_nodes), device)
        self.y = task.labels.to(device)
        split = task.split(seed)
        self.index = {part: getattr(split, part).to(device) for part in PARTS}

    def batches(self) -> Iterable[Tensor]:
        return (self.index["train"],)

    def loss(self, network: nn.Module, batch: Tensor) -> Tensor:
        scores = network(self.x, self.edges)[batch]
        return functional.cross_entropy(scores, self.y[batch])

    def score(self, network: nn.Module, part: str) -> tuple[float, float]:
        index = self.index[part]
        scores, y = self.forward(network)[index], self.y[index]
        accuracy = float((scores.argmax(1) == y).float().mean())
        return accuracy, float(functional.cross_entropy(scores, y))

    def forward(self, network: nn.Module) -> Tensor:
        return cast(Tensor, network(self.x, self.edges))

    def merge_validation(self) -> None:
        self.index["train"] = torch.cat([self.index["train"], self.index["validation"]])


class GraphProblem:
    """Graph classification: shuffled batches of graphs."""

    def __init__(
        self, task: GraphClassification, config: Config, seed: int, device: torch.device
    ) -> None:
        self.device = device
        self.batch_size = cast(int, config["batch_size"])
        split = task.split(seed)
        self.graphs = {
            part: [(task.graphs[i], int(task.labels[i])) for i in getattr(split, part).tolist()]
            for part in PARTS
        }
        # Evaluation batches never change: they are put together once.
        self.fixed = {part: _batch(graphs, device) for part, graphs in self.graphs.items()}

    def batches(self) -> Iterable[Batch]:
        graphs = self.graphs["train"]
        order = torch.randperm(len(graphs)).tolist()
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            if len(chosen) > 1 or len(order) == 1:  # one graph may break batch normalisation
                yield _batch([graphs[i] for i in chosen], self.device)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        scores = network(batch.x, batch.edges, batch.batch)
        return functional.cross_entropy(scores, batch.y)

    def score(self, network: nn.Module, part: str) -> tuple[float, float]:
        batch = self.fixed[part]
        scores = network(batch.x, batch.edges, batch.batch)
        accuracy = float((scores.argmax(1) == batch.y).float().mean())
        return accuracy, float(functional.cross_entropy(scores, batch.y))

    def forward(self, network: nn.Module) -> Tensor:
        batch = self.fixed["validation"]
        return cast(Tensor, network(batch.x, batch.edges, batch.batch))

    def merge_validation(self) -> None:
        self.graphs["train"] = self.graphs["train"] + self.graphs["validation"]


@dataclass
class Batch:
    """Some graphs as one of several components.

    Attributes:
        x: ``[nodes, features]``.
        edges: As message passing takes them fastest.
        batch: The graph of each node ``[nodes]``.
        y: The class of each graph ``[graphs]``.
    """

    x: Tensor
    edges: Tensor | Adjacency
    batch: Tensor
    y: Tensor


def _batch(graphs: Sequence[tuple[Data, int]], device: torch.device) -> Batch:
    """Graphs and their classes; PyTorch Geometric's own does more, and takes ten times as long."""
    sizes = torch.tensor([graph.x.shape[0] for graph, _ in graphs])
    counts = torch.tensor([graph.edge_index.shape[1] for graph, _ in graphs])
    shifts = (sizes.cumsum(0) - sizes).repeat_interleave(counts)
    edges = torch.cat([graph.edge_index for graph, _ in graphs], dim=1) + shifts
    return Batch(
        torch.cat([graph.x for graph, _ in graphs]).to(device),
        adjacency(edges, int(sizes.sum()), device),
        torch.arange(len(graphs)).repeat_interleave(sizes).to(device),
        torch.tensor([label for _, label in graphs]).to(device),
    )


class LinkProblem:
    """Link prediction: embeddings of nodes, whose inner product scores a link."""

    def __init__(
        self, task: LinkPrediction, config: Config, seed: int, device: torch.device
    ) -> None:
        self.x = features(task.data.x, config, device)
        self.nodes = int(task.data.num_nodes)
        self.device = device
        graphs = task.split(seed)
        self.graphs = {p: g.to(device) for p, g in zip(PARTS, graphs, strict=True)}
        # Validation messages pass along training links.
        train = adjacency(graphs[0].edge_index, self.nodes, device)
        test = adjacency(graphs[2].edge_index, self.nodes, device)
        self.edges = {"train": train, "validation": train, "test": test}

    def batches(self) -> Iterable[Tensor]:
        return (self.graphs["train"].edge_label_index,)

    def loss(self, network: nn.Module, batch: Tensor) -> Tensor:
        # Random pairs stand for unlinked ones: in a sparse graph hardly any is linked.
        pairs = torch.randint(self.nodes, batch.shape).to(batch.device)
        embedding = network(self.x, self.edges["train"])
        scores = torch.cat([score_links(embedding, batch), score_links(embedding, pairs)])
        target = torch.zeros_like(scores)
        target[: batch.shape[1]] = 1.0
        return functional.binary_cross_entropy_with_logits(scores, target)

    def score(self, network: nn.Module, part: str) -> tuple[float, float]:
        graph = self.graphs[part]
        pairs, target = graph.edge_label_index, graph.edge_label.float()
        if part == "train":  # training links come without unlinked pairs: take the evaluation's
            other = self.graphs["validation"]
            unlinked = other.edge_label_index[:, other.edge_label == 0]
            pairs = torch.cat([pairs, unlinked], dim=1)
            target = torch.cat(
                [torch.ones(graph.edge_label.shape[0]), torch.zeros(unlinked.shape[1])]
            )
            target = target.to(pairs.device)
        scores = score_links(network(self.x, self.edges[part]), pairs)
        if not bool(scores.isfinite().all()):  # exploded: it ranks nothing
            return 0.5, math.inf
        loss = functional.binary_cross_entropy_with_logits(scores, target)
        return float(roc_auc_score(target.cpu().numpy(), scores.cpu().numpy())), float(loss)

    def forward(self, network: nn.Module) -> Tensor:
        return cast(Tensor, network(self.x, self.edges["train"]))

    def merge_validation(self) -> None:
        # The test part's messages pass along training and validation links.
        self.edges["train"] = self.edges["test"]
        edges, train = self.graphs["test"].edge_index, self.graphs["train"]
        train.edge_label_index = edges[:, edges[0] < edges[1]]
        train.edge_label = torch.ones(train.edge_label_index.shape[1], device=edges.device)


def score_links(embedding: Tensor, pairs: Tensor) -> Tensor:
    """Inner products ``[pairs]`` of the embeddings ``[nodes, d]`` of ``[2, pairs]`` nodes."""
    return (embedding[pairs[0]] * embedding[pairs[1]]).sum(dim=1)
