"""Tasks on graphs: what is predicted, how it is split, how it is scored.

A split is the public one where the data has one (of ten public ones, the one whose number is the
seed modulo ten), else stratified 60/20/20 by seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit
from torch_geometric.utils import degree, to_undirected

from ...common.errors import DataError
from ..digests import digest_of_tensors
from ..seeding import seeded
from ..splits import Split, hold_out, stratified_split
from .checks import check_graph, check_graphs, check_masks, check_stratified, whole_labels

MAX_DEGREE = 64
"""Graphs without node features get one-hot degrees; higher ones share the last place."""

HELD_OUT = 0.2
"""Of the training nodes, where there is no public validation part."""

STRATIFIED = "stratified 60/20/20 by seed"


class NodeClassification:
    """Predict the class of every node of one graph; scored by accuracy.

    Weights and features of edges are not used.

    Args:
        data: A PyTorch Geometric `Data` with ``x [nodes, features]``, ``edge_index [2, edges]``,
            ``y [nodes]`` and, where there is a public split, ``train_mask``, ``val_mask`` and
            ``test_mask`` (``[nodes]``, or ``[nodes, splits]`` for several). Without ``val_mask`` a
            fifth of the training nodes is held out by the seed. Nodes outside the masks may have
            the class -1: unknown.
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
        self.data = copy(data)
        self.data.edge_index = data.edge_index.long()
        if data.y is None or data.y.numel() != data.num_nodes:
            raise DataError(f"task {name!r} has no class for each node: set data.y, [nodes]")
        y = data.y.view(-1)
        masks = {part: data.get(f"{part}_mask") for part in ("train", "val", "test")}
        self._masks: dict[str, Tensor] = {p: mask for p, mask in masks.items() if mask is not None}
        if self._masks:
            check_masks(self._masks, len(y), name)
            # Nodes outside the masks may have no class.
            self.labels = torch.full((len(y),), -1)
            labelled = y != -1
            for mask in self._masks.values():
                labelled |= mask.view(len(y), -1).bool().any(1)
            self.labels[labelled] = whole_labels(y[labelled], name)
        else:
            self.labels = whole_labels(y, name)
            check_stratified(self.labels, name)
        self.classes = int(self.labels.max()) + 1
        self.features = int(data.x.shape[1])

    @cached_property
    def digest(self) -> str:
        """A digest of the graph, its classes and its public split."""
        tensors = (self.data.x, self.data.edge_index, self.labels, *self._masks.values())
        return digest_of_tensors(tensors)

    def split(self, seed: int) -> Split:
        """The public split where there is one, else a stratified one."""
        if not self._masks:
            return stratified_split(self.labels, seed)
        parts = {part: _nonzero(mask, seed) for part, mask in self._masks.items()}
        if "val" not in parts:
            train = parts["train"]
            rest, held_out = hold_out(
                self.labels[train].numpy(), round(HELD_OUT * len(train)), seed
            )
            parts |= {"train": train[rest], "val": train[held_out]}
        return Split(parts["train"], parts["val"], parts["test"])

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
            "majority_share": _majority(self.labels[self.labels >= 0]),
        }

    def _split_name(self) -> str:
        if not self._masks:
            return STRATIFIED
        addition = (
            "" if "val" in self._masks else ", validation a fifth of the training nodes by seed"
        )
        splits = max(mask.view(len(self.labels), -1).shape[1] for mask in self._masks.values())
        return ("public" if splits == 1 else f"public, number seed mod {splits}") + addition


class GraphClassification:
    """Predict the class of whole graphs; scored by accuracy.

    Weights and features of edges are not used.

    Args:
        dataset: PyTorch Geometric `Data` objects with ``edge_index``, ``y`` (one class) and ``x``;
            where all lack ``x``, one-hot degrees (capped at 64) take its place.
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
        check_graphs(graphs, name)
        classes = [torch.as_tensor(graph.y).view(-1) for graph in graphs]
        self.labels = whole_labels(torch.cat(classes), name)
        self.degrees_as_features = graphs[0].x is None
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
        return Data(x=x, edge_index=graph.edge_index.long())

    @cached_property
    def digest(self) -> str:
        """A digest of the graphs and their classes, in their order."""
        sizes = torch.tensor([[g.num_nodes, g.num_edges] for g in self.graphs])
        x, edges = (
            torch.cat([g[f] for g in self.graphs], d) for f, d in (("x", 0), ("edge_index", 1))
        )
        return digest_of_tensors((sizes, x, edges, self.labels))

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
    messages pass along training links only. Weights and features of links are not used.

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
        nodes = int(data.num_nodes)
        edges = undirected(data.edge_index, nodes)
        links = edges.shape[1] // 2
        if links < 20:
            raise DataError(f"task {name!r} has {links} links: at least 20 are needed")
        unlinked = nodes * (nodes - 1) // 2 - links
        if unlinked < 0.3 * links:
            raise DataError(
                f"task {name!r} has {links} links and {unlinked} pairs of nodes without one: too "
                "few to tell apart"
            )
        self.data = Data(x=data.x, edge_index=edges)
        self.features = int(data.x.shape[1])

    @cached_property
    def digest(self) -> str:
        """A digest of the graph."""
        return digest_of_tensors((self.data.x, self.data.edge_index))

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


def undirected(edge_index: Tensor, nodes: int) -> Tensor:
    """Links in both directions, each once, without loops: ``[2, 2 * links]``."""
    edges: Tensor = to_undirected(edge_index.long(), num_nodes=nodes)
    return edges[:, edges[0] != edges[1]]


def _nonzero(mask: Tensor, seed: int) -> Tensor:
    column = mask if mask.dim() == 1 else mask[:, seed % mask.shape[1]]
    return column.bool().nonzero().view(-1)


def _majority(labels: Tensor) -> float:
    return round(float(torch.bincount(labels).max()) / len(labels), 4)
