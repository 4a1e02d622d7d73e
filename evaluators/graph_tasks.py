"""Tasks on graphs: what is predicted, how it is split, how it is scored.

A split is the public one where the data has one (of ten public ones, the one whose number is the
seed modulo ten), else stratified 60/20/20 by seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit
from torch_geometric.utils import degree, to_undirected

from ..errors import DataError

MAX_DEGREE = 64
"""Graphs without node features get one-hot degrees; higher ones share the last place."""

STRATIFIED = "stratified 60/20/20 by seed"


@dataclass(frozen=True)
class Split:
    """Indices of nodes or graphs: int64 tensors, disjoint."""

    train: Tensor
    validation: Tensor
    test: Tensor


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
        _check_graph(data, name)
        self.data = data
        if data.y is None or data.y.numel() != data.num_nodes:
            raise DataError(f"task {name!r} has no class for each node: set data.y, [nodes]")
        self.labels = _labels(data.y.view(-1), name)
        self.classes = int(self.labels.max()) + 1
        self.features = int(data.x.shape[1])
        masks = [data.get(f"{part}_mask") for part in ("train", "val", "test")]
        self._masks = None if any(mask is None for mask in masks) else masks
        if self._masks is None:
            _check_stratified(self.labels, name)
        else:
            _check_masks(self._masks, int(data.num_nodes), name)

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
        self.labels = _labels(torch.cat([graph.y.view(-1) for graph in graphs]), name)
        self.degrees_as_features = any(graph.x is None for graph in graphs)
        self.graphs = [self.prepare(graph) for graph in graphs]
        for graph in self.graphs:
            _check_graph(graph, name)
        widths = sorted({graph.x.shape[1] for graph in self.graphs})
        if len(widths) > 1:
            raise DataError(
                f"task {name!r} has graphs of {widths[0]} and of {widths[-1]} features a node: "
                "give each as many"
            )
        self.classes = int(self.labels.max()) + 1
        self.features = int(self.graphs[0].x.shape[1])
        _check_stratified(self.labels, name)

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
        _check_graph(data, name)
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


class seeded:
    """Seed torch, NumPy and Python inside a block; outside, nothing has happened.

    PyTorch Geometric draws from the global streams of all three.

    Args:
        seed: Where the streams start.
        device: A GPU whose stream is meant, too.
    """

    def __init__(self, seed: int, device: torch.device | None = None) -> None:
        self.seed = seed
        self.gpu = device if device is not None and device.type == "cuda" else None

    def __enter__(self) -> None:
        self._torch, self._numpy = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()
        self._gpu = torch.cuda.get_rng_state(self.gpu) if self.gpu else None
        seed_torch(self.seed, self.gpu)
        random.seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self._torch)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)
        if self._gpu is not None and self.gpu is not None:
            torch.cuda.set_rng_state(self._gpu, self.gpu)


def seed_torch(seed: int, device: torch.device | None) -> None:
    """Seed the CPU's stream, and the device's where it is a GPU; `manual_seed` would seed all."""
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def stratified_split(labels: Tensor, seed: int) -> Split:
    """60/20/20, with the classes' shares kept as far as they can be.

    Args:
        labels: ``[n]`` int64.
        seed: Decides the split.
    """
    index = np.arange(len(labels))
    y = labels.numpy()
    train, rest = train_test_split(index, test_size=0.4, random_state=seed, stratify=_strata(y))
    validation, test = train_test_split(
        rest, test_size=0.5, random_state=seed, stratify=_strata(y[rest])
    )
    return Split(*(torch.from_numpy(np.sort(part)) for part in (train, validation, test)))


def _strata(y: np.ndarray) -> np.ndarray | None:
    """Classes too small to be split are pooled; without two in every pool, no strata."""
    counts = np.bincount(y)
    strata = np.where(counts[y] < 2, -1, y)
    _, sizes = np.unique(strata, return_counts=True)
    return strata if sizes.min() >= 2 else None


def one_hot_degrees(graph: Data) -> Tensor:
    """``[nodes, 65]``: the in-degree of each node, 64 and more as one."""
    degrees = degree(graph.edge_index[1], graph.num_nodes).long().clamp(max=MAX_DEGREE)
    return torch.nn.functional.one_hot(degrees, MAX_DEGREE + 1).float()


def _check_graph(data: Data, name: str) -> None:
    if not isinstance(data, Data):
        raise DataError(
            f"task {name!r} got a {type(data).__name__}: give a torch_geometric.data.Data"
        )
    edges, x = data.edge_index, data.x
    if edges is None or edges.dim() != 2 or edges.shape[0] != 2:
        raise DataError(f"task {name!r} has no edges: set data.edge_index, [2, edges]")
    if x is None:
        raise DataError(
            f"task {name!r} has no node features: set data.x, for example to "
            "torch.eye(data.num_nodes)"
        )
    if x.dim() != 2 or x.numel() == 0:
        raise DataError(
            f"task {name!r} has node features of shape {list(x.shape)}: set data.x, "
            "[nodes, features]"
        )
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= x.shape[0]):
        wrong = int(edges.min()) if int(edges.min()) < 0 else int(edges.max())
        raise DataError(
            f"task {name!r} has an edge to node {wrong}, but features of {x.shape[0]} nodes: "
            "number the nodes from 0"
        )
    if not bool(torch.isfinite(x).all()):
        raise DataError(f"task {name!r} has NaN or infinite features: fill or remove them")


def _check_masks(masks: Sequence[Tensor], nodes: int, name: str) -> None:
    """Every public split has the nodes' length, no empty part, and no node in two parts."""
    for part, mask in zip(("train", "val", "test"), masks, strict=True):
        if mask.shape[0] != nodes or mask.dim() > 2:
            raise DataError(
                f"task {name!r} has a {part}_mask of shape {list(mask.shape)} for {nodes} nodes: "
                "a mask is [nodes] or [nodes, splits]"
            )
        if bool((mask.view(nodes, -1).sum(0) == 0).any()):
            raise DataError(f"task {name!r} has an empty {part}_mask: mark some nodes in it")
    if len({mask.view(nodes, -1).shape[1] for mask in masks}) > 1:
        raise DataError(
            f"task {name!r} has masks of different numbers of splits: give each as many"
        )
    twice = sum(mask.view(nodes, -1).int() for mask in masks) > 1
    if bool(torch.as_tensor(twice).any()):
        raise DataError(
            f"task {name!r} has nodes in two of train_mask, val_mask and test_mask: part them"
        )


def _labels(y: Tensor, name: str) -> Tensor:
    if y.is_floating_point() and not bool((y == y.round()).all()):
        raise DataError(f"task {name!r} has labels that are no whole numbers: is it a regression?")
    y = y.long()
    if int(y.min()) < 0:
        raise DataError(f"task {name!r} has the label {int(y.min())}: number classes from 0")
    if int(y.max()) == int(y.min()):
        raise DataError(f"task {name!r} has one class only: there is nothing to tell apart")
    return y


def _check_stratified(labels: Tensor, name: str) -> None:
    if len(labels) < 10:
        raise DataError(f"task {name!r} has {len(labels)} labels: at least 10 are needed")


def _nonzero(mask: Tensor, seed: int) -> Tensor:
    column = mask if mask.dim() == 1 else mask[:, seed % mask.shape[1]]
    return column.bool().nonzero().view(-1)


def _majority(labels: Tensor) -> float:
    return round(float(torch.bincount(labels).max()) / len(labels), 4)
