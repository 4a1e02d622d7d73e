"""Plain statistics of a graph task, for which no network is needed.

Nothing of the test split is used but what a training may see, too: in one big graph the nodes'
features and edges, never their labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch_geometric.data import Batch

from .tasks import GraphClassification, GraphTask, LinkPrediction

SAMPLE = 1_000
"""Nodes whose neighbourhoods are looked at for the clustering coefficient."""


def graph_statistics(task: GraphTask, *, seed: int = 0) -> dict[str, float]:
    """Sizes, degrees, homophily, clustering and classes of a task.

    Edges count as links without direction, twice-given ones and loops not at all. Sizes and links
    of a task of many graphs are means over its training and validation graphs. ``homophily`` is the
    share of links between equal labels among links whose ends have known labels; 0 where nodes have
    none. ``class_entropy`` is 1 for classes of equal size.

    Args:
        task: What is described.
        seed: Decides the split, and which nodes are sampled.
    """
    view = _view(task, seed)
    links = _links(view.edge_index, view.nodes)
    degrees = np.asarray(links.sum(axis=1)).ravel()
    return {
        "log_nodes": math.log(view.nodes / view.graphs),
        "log_edges": math.log1p(links.nnz / 2 / view.graphs),
        "mean_degree": float(degrees.mean()),
        "degree_deviation": float(degrees.std()),
        "homophily": _homophily(links, view.node_labels),
        "clustering": _clustering(links, degrees, seed),
        "log_features": math.log(task.features),
        "log_classes": math.log(view.classes),
        "class_entropy": _entropy(view.labels) / math.log(max(2, view.classes)),
        "log_graphs": math.log(view.graphs),
        "is_node": float(task.level == "node"),
        "is_graph": float(task.level == "graph"),
    }


@dataclass(frozen=True)
class _View:
    """The part of a task that a fingerprint may use.

    Attributes:
        edge_index: ``[2, edges]``, of all graphs as one.
        nodes: In all graphs.
        graphs: How many there are.
        classes: How many there are.
        labels: Of the training and validation samples.
        node_labels: ``[nodes]``, -1 where unknown; ``None`` where nodes have none.
    """

    edge_index: Tensor
    nodes: int
    graphs: int
    classes: int
    labels: Tensor
    node_labels: Tensor | None


def _view(task: GraphTask, seed: int) -> _View:
    if isinstance(task, LinkPrediction):
        train, _, _ = task.split(seed)
        labels = torch.tensor([0, 1])  # as many linked pairs as unlinked ones
        return _View(train.edge_index, int(task.data.num_nodes), 1, 2, labels, None)
    split = task.split(seed)
    seen = torch.cat([split.train, split.validation])
    labels = task.labels[seen]
    if isinstance(task, GraphClassification):
        joined = Batch.from_data_list([task.graphs[i] for i in seen.tolist()])
        nodes = int(joined.num_nodes)
        return _View(joined.edge_index, nodes, len(seen), task.classes, labels, None)
    labels_seen = torch.full_like(task.labels, -1)
    labels_seen[seen] = labels
    nodes = int(task.data.num_nodes)
    return _View(task.data.edge_index, nodes, 1, task.classes, labels, labels_seen)


def _links(edge_index: Tensor, nodes: int) -> csr_matrix:
    """The symmetric adjacency matrix of ones."""
    source, target = edge_index[:, edge_index[0] != edge_index[1]].numpy()
    ones = np.ones(len(source))
    directed = csr_matrix((ones, (source, target)), shape=(nodes, nodes))
    links = directed + directed.T
    links.data[:] = 1.0
    return links


def _homophily(links: csr_matrix, labels: Tensor | None) -> float:
    if labels is None:
        return 0.0
    pairs = links.tocoo()
    first, second = labels.numpy()[pairs.row], labels.numpy()[pairs.col]
    labelled = (first >= 0) & (second >= 0)
    return float((first == second)[labelled].mean()) if labelled.any() else 0.0


def _clustering(links: csr_matrix, degrees: np.ndarray, seed: int) -> float:
    """The mean local clustering coefficient (Watts and Strogatz, 1998); 0 below two neighbours."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(links.shape[0])[:SAMPLE]
    rows, own_degrees = links[chosen], degrees[chosen]
    triangles = np.asarray((rows @ links).multiply(rows).sum(axis=1)).ravel()
    return float((triangles / np.maximum(own_degrees * (own_degrees - 1), 1)).mean())


def _entropy(labels: Tensor) -> float:
    shares = torch.bincount(labels).double() / len(labels)
    return float(-torch.special.xlogy(shares, shares).sum())
