"""Tasks on graphs: what is predicted, how it is split, how it is scored.

A split is the public one where the data has one (of ten public ones, the one whose number is the
seed modulo ten), else stratified 60/20/20 by seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit
from torch_geometric.utils import degree, to_undirected

from ...errors import DataError
from ..seeding import seeded
from ..splits import Split, stratified_split
from .checks import check_graph, check_masks, check_stratified, whole_labels

MAX_DEGREE = 64
"""Graphs without node features get one-hot degrees; higher ones share the last place."""

STRATIFIED = "stratified 60/20/20 by seed"


class NodeClassification:
    """Predict the class of every node of one graph; scored by accuracy.

    Args:
        data: A PyTorch Geometric `Data` with ``x [nodes, features]``, ``edge_index [2, edges]``,
            ``y [nodes]`` and, where there is a public split, ``train_mask``, ``val_mask`` and
            ``test_mask`` (``[nodes]``, or ``[nodes, splits]`` for several).
        name: What the task is called.

    Raises:
        DataError: The data is not fit for the task.
    """

    kind = "node classification"
    level = "node"
    metric = "accuracy"
    direction = "maximize"

    def __init__(self, data: Data, *, name: str) -> None:
        self.name = name
        check_graph(data, name)
        self.data = data
        if data.y is None or data.y.numel() != data.num_nodes:
            raise DataError(f"task {name!r} has no class for each node: set data.y, [nodes]")
        self.labels = whole_labels(data.y.view(-1), name)
        self.classes = int(self.labels.max()) + 1
        self.features = int(data.x.shape[1])
        masks = [data.get(f"{part}_mask") for part in ("train", "val", "test")]
        self._masks = None if any(mask is None for mask in masks) else masks
        if self._masks is None:
            check_stratified(self.labels, name)
        else:
            check_masks(self._masks, int(data.num_nodes), name)

    def split(self, seed: int) -> Split:
        """The public split where there is one, else a stratified one."""
        if self._masks is None:
            return stratified_split(self.labels, seed)
        return Split(*(_nonzero(mask, seed) for mask in self._masks))

    def describe(self) -> dict[str, Any]:
        """Plain facts for people and records."""
        return {
            "kind": self.kind,
            "metric": self.metric,
            "nodes": self.data.num_nodes,
            "edges": self.data.num_edges,
            "features": self.features,
            "classes": self.classes,
            "split": self._split_name(),
            "majority_share": _majority(self.labels),
        }

    def _split_name(self) -> str:
        if self._masks is None:
            return STRATIFIED
        mask = self._masks[0]
        if mask.dim() == 1 or mask.shape[1] == 1:
            return "public"
        return f"public, number seed mod {mask.shape[1]}"


class GraphClassification:
    """Predict the class of whole graphs; scored by accuracy.

    Args:
        dataset: PyTorch Geometric `Data` objects with ``edge_index``, ``y`` (one class) and ``x``;
            where ``x`` is missing, one-hot degrees (capped at 64) take its place.
        name: What the task is called.

    Raises:
        DataError: The data is not fit for the task.
    """

    kind = "graph classification"
    level = "graph"
    metric = "accuracy"
    direction = "maximize"

    def __init__(self, dataset: Sequence[Data], *, name: str) -> None:
        self.name = name
        graphs = list(dataset)
        if len(graphs) < 10:
            raise DataError(f"task {name!r} has {len(graphs)} graphs: at least 10 are needed")
        if any(graph.y is None or graph.y.numel() != 1 for graph in graphs):
            raise DataError(f"task {name!r} has graphs without one class: set graph.y, [1]")
        self.labels = whole_labels(torch.cat([graph.y.view(-1) for graph in graphs]), name)
        self.degrees_as_features = any(graph.x is None for graph in graphs)
        self.graphs = [self.prepare(graph) for graph in graphs]
        for graph in self.graphs:
            check_graph(graph, name)
        widths = sorted({graph.x.shape[1] for graph in self.graphs})
        if len(widths) > 1:
            raise DataError(
                f"task {name!r} has graphs of {widths[0]} and of {widths[-1]} features a node: "
                "give each as many"
            )
        self.classes = int(self.labels.max()) + 1
        self.features = int(self.graphs[0].x.shape[1])
        check_stratified(self.labels, name)

    def prepare(self, graph: Data) -> Data:
        """The graph as networks take it: float features and edges, nothing else."""
        x = one_hot_degrees(graph) if self.degrees_as_features else graph.x.float()
        return Data(x=x, edge_index=graph.edge_index)

    def split(self, seed: int) -> Split:
        """A stratified split."""
        return stratified_split(self.labels, seed)

    def describe(self) -> dict[str, Any]:
        """Plain facts for people and records."""
        return {
            "kind": self.kind,
            "metric": self.metric,
            "graphs": len(self.graphs),
            "mean_nodes": round(float(np.mean([g.num_nodes for g in self.graphs])), 1),
            "mean_edges": round(float(np.mean([g.num_edges for g in self.graphs])), 1),
            "features": self.features,
            "classes": self.classes,
            "split": STRATIFIED,
            "majority_share": _majority(self.labels),
        }


class LinkPrediction:
    """Tell the links of one graph from pairs that are not linked; scored by ROC AUC.

    Of the links, 10 % are held out for validation and 20 % for the test, with as many random pairs;
    messages pass along training links only.

    Args:
        data: A PyTorch Geometric `Data` with ``x [nodes, features]`` and ``edge_index``; links have
            no direction.
        name: What the task is called.

    Raises:
        DataError: The data is not fit for the task.
    """

    kind = "link prediction"
    level = "link"
    metric = "roc_auc"
    direction = "maximize"

    def __init__(self, data: Data, *, name: str) -> None:
        self.name = name
        check_graph(data, name)
        edges = to_undirected(data.edge_index, num_nodes=data.num_nodes)
        edges = edges[:, edges[0] != edges[1]]
        if edges.shape[1] < 40:
            raise DataError(
                f"task {name!r} has {edges.shape[1] // 2} links: at least 20 are needed"
            )
        self.data = Data(x=data.x, edge_index=edges)
        self.features = int(data.x.shape[1])

    def split(self, seed: int) -> tuple[Data, Data, Data]:
        """Training, validation and test graphs with ``edge_label_index`` and ``edge_label``."""
        transform = RandomLinkSplit(
            num_val=0.1, num_test=0.2, is_undirected=True, add_negative_train_samples=False
        )
        with seeded(seed):
            train, validation, test = transform(self.data)
        return train, validation, test

    def describe(self) -> dict[str, Any]:
        """Plain facts for people and records."""
        return {
            "kind": self.kind,
            "metric": self.metric,
            "nodes": self.data.num_nodes,
            "links": self.data.num_edges // 2,
            "features": self.features,
            "split": "random 70/10/20 of the links by seed",
        }


GraphTask = NodeClassification | GraphClassification | LinkPrediction


def one_hot_degrees(graph: Data) -> Tensor:
    """``[nodes, 65]``: the in-degree of each node, 64 and more as one."""
    degrees = degree(graph.edge_index[1], graph.num_nodes).long().clamp(max=MAX_DEGREE)
    return torch.nn.functional.one_hot(degrees, MAX_DEGREE + 1).float()


def _nonzero(mask: Tensor, seed: int) -> Tensor:
    column = mask if mask.dim() == 1 else mask[:, seed % mask.shape[1]]
    return column.bool().nonzero().view(-1)


def _majority(labels: Tensor) -> float:
    return round(float(torch.bincount(labels).max()) / len(labels), 4)
