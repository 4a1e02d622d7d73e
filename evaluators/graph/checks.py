"""Checks of a user's graphs, masks and labels, each with an error that names the remedy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from ...common.errors import DataError
from ..splits import check_numbering


def check_graph(data: Data, name: str) -> None:
    if not isinstance(data, Data):
        raise DataError(
            f"task {name!r} got a {type(data).__name__}: give a torch_geometric.data.Data"
        )
    edges, x = data.edge_index, data.x
    if edges is None or edges.ndim != 2 or edges.shape[0] != 2:
        raise DataError(f"task {name!r} has no edges: set data.edge_index, [2, edges]")
    if x is None:
        raise DataError(
            f"task {name!r} has no node features: set data.x, for example to "
            "torch.eye(data.num_nodes)"
        )
    for field, value in (("edge_index", edges), ("x", x)):
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise DataError(
                f"task {name!r} has data.{field} that is no dense tensor: give one, for example by "
                "torch.as_tensor or to_dense()"
            )
    if edges.is_floating_point() or edges.dtype == torch.bool:
        raise DataError(
            f"task {name!r} has edges of type {edges.dtype}: give whole numbers, edge_index.long()"
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
    if data.get("edge_weight") is not None:
        warnings.warn(
            f"task {name!r} has weights of edges, which are not used: an edge is there or not",
            stacklevel=3,
        )


def check_graphs(graphs: Sequence[Data], name: str) -> None:
    """Each graph has one class and edges, and all or none have features."""
    for graph in graphs:
        if not isinstance(graph, Data):
            raise DataError(
                f"task {name!r} got a {type(graph).__name__} among its graphs: give "
                "torch_geometric.data.Data"
            )
        if graph.y is None or torch.as_tensor(graph.y).numel() != 1:
            raise DataError(f"task {name!r} has graphs without one class: set graph.y, [1]")
        if graph.edge_index is None:
            raise DataError(f"task {name!r} has a graph without edges: set graph.edge_index")
        if graph.edge_index.is_floating_point():
            raise DataError(f"task {name!r} has edges that are no whole numbers: give long()")
    without = sum(graph.x is None for graph in graphs)
    if 0 < without < len(graphs):
        raise DataError(
            f"task {name!r} has {without} of {len(graphs)} graphs without node features: give "
            "each data.x, or none"
        )


def check_masks(masks: Mapping[str, Tensor], nodes: int, name: str) -> None:
    """Every public split has the nodes' length, no empty part, and no node in two parts.

    Args:
        masks: By part, those that are given.
        nodes: How many there are.
        name: The task's.
    """
    if not masks.keys() >= {"train", "test"}:
        raise DataError(
            f"task {name!r} has {' and '.join(f'{part}_mask' for part in masks)} alone: give "
            "train_mask and test_mask, best val_mask, too, or none of them"
        )
    for part, mask in masks.items():
        if not isinstance(mask, Tensor):
            raise DataError(
                f"task {name!r} has a {part}_mask that is no tensor: give torch.as_tensor of it"
            )
        if mask.shape[0] != nodes or mask.dim() > 2:
            raise DataError(
                f"task {name!r} has a {part}_mask of shape {list(mask.shape)} for {nodes} nodes: "
                "a mask is [nodes] or [nodes, splits]"
            )
        if bool((mask.view(nodes, -1).sum(0) == 0).any()):
            raise DataError(f"task {name!r} has an empty {part}_mask: mark some nodes in it")
    columns = [mask.view(nodes, -1) for mask in masks.values()]
    if len({column.shape[1] for column in columns} - {1}) > 1:
        raise DataError(
            f"task {name!r} has masks of different numbers of splits: give each as many, or one "
            "for all"
        )
    fewest = int(columns[0].sum(0).min())
    if "val" not in masks and fewest < 10:
        raise DataError(
            f"task {name!r} has {fewest} training nodes and no val_mask: set it, as so few cannot "
            "be divided"
        )
    twice = sum(column.int() for column in columns) > 1
    if bool(torch.as_tensor(twice).any()):
        raise DataError(
            f"task {name!r} has nodes in two of train_mask, val_mask and test_mask: part them"
        )


def whole_labels(y: Tensor, name: str) -> Tensor:
    if y.is_floating_point() and not bool((y == y.round()).all()):
        raise DataError(f"task {name!r} has labels that are no whole numbers: is it a regression?")
    y = y.long()
    if int(y.min()) < 0:
        raise DataError(f"task {name!r} has the label {int(y.min())}: number classes from 0")
    if int(y.max()) == int(y.min()):
        raise DataError(f"task {name!r} has one class only: there is nothing to tell apart")
    check_numbering(y.numpy(), name)
    return y


def check_stratified(labels: Tensor, name: str) -> None:
    if len(labels) < 10:
        raise DataError(f"task {name!r} has {len(labels)} labels: at least 10 are needed")
