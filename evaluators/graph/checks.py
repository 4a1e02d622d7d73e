"""What a user's graphs, masks and labels must be: a clear word where they are not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from ...errors import DataError


def check_graph(data: Data, name: str) -> None:
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


def check_masks(masks: Sequence[Tensor], nodes: int, name: str) -> None:
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


def whole_labels(y: Tensor, name: str) -> Tensor:
    if y.is_floating_point() and not bool((y == y.round()).all()):
        raise DataError(f"task {name!r} has labels that are no whole numbers: is it a regression?")
    y = y.long()
    if int(y.min()) < 0:
        raise DataError(f"task {name!r} has the label {int(y.min())}: number classes from 0")
    if int(y.max()) == int(y.min()):
        raise DataError(f"task {name!r} has one class only: there is nothing to tell apart")
    return y


def check_stratified(labels: Tensor, name: str) -> None:
    if len(labels) < 10:
        raise DataError(f"task {name!r} has {len(labels)} labels: at least 10 are needed")
