"""Graph networks, built from a configuration of the `gnn` space, on PyTorch Geometric's layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

from ...spaces import Config
from .layers import LAYERS, apply_layer, linear, takes_sparse_features
from .sparse import Adjacency, SparseMatrix

POOLING: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "sum": pyg.global_add_pool,
    "mean": pyg.global_mean_pool,
    "max": pyg.global_max_pool,
}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "prelu": nn.PReLU,
    "swish": nn.SiLU,
    "elu": nn.ELU,
}


Features = Tensor | SparseMatrix


class Block(nn.Module):
    """Dropout, then a layer, then batch normalisation and activation.

    Dropout stands first, so that it falls on the input features, too (Kipf and Welling, 2017).

    Args:
        layer: Linear or message passing.
        outputs: Its width.
        config: Dropout, batch normalisation and activation.
        last: Emits the scores: neither normalisation nor activation follows.
    """

    def __init__(self, layer: nn.Module, outputs: int, config: Config, *, last: bool) -> None:
        super().__init__()
        self.dropout = cast(float, config["dropout"])
        self.layer = layer
        norm = config["batch_norm"] and not last
        self.norm = nn.BatchNorm1d(outputs) if norm else nn.Identity()
        self.activation = nn.Identity() if last else ACTIVATIONS[str(config["activation"])]()

    def forward(self, x: Features, edges: Tensor | Adjacency | None = None) -> Tensor:
        x = drop(x, self.dropout, training=self.training)
        out = linear(self.layer, x) if edges is None else apply_layer(self.layer, x, edges)
        return cast(Tensor, self.activation(self.norm(out)))


class GraphNetwork(nn.Module):
    """A graph network with layers before, in and after message passing.

    Args:
        config: A configuration of the `gnn` space.
        inputs: Features of a node.
        outputs: Classes; for link prediction the size of a node's embedding.
        level: ``"node"``, ``"link"`` (both emit ``[nodes, outputs]``) or ``"graph"``
            (``[graphs, outputs]``, nodes pooled as configured).
    """

    def __init__(self, config: Config, inputs: int, outputs: int, level: str) -> None:
        super().__init__()
        self.level = level
        self.stage = str(config["stage"])
        self.pooling = POOLING[str(config.get("pooling", "mean"))]
        width = cast(int, config["width"])
        make = LAYERS[str(config["layer"])]
        n_pre, n_mp = cast(int, config["layers_pre"]), cast(int, config["layers_mp"])
        n_post = cast(int, config["layers_post"])
        self.pre, self.mp, self.post = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for _ in range(n_pre):
            self.pre.append(Block(pyg.Linear(inputs, width), width, config, last=False))
            inputs = width
        for i in range(n_mp):
            last = n_post == 0 and i == n_mp - 1
            size = outputs if last else width
            self.mp.append(Block(make(inputs, size, config), size, config, last=last))
            inputs = size + inputs if self.stage == "skip-concat" and not last else size
        # The layer that emits the classes is not joined to what came before.
        self.joined = n_mp - 1 if n_post == 0 else n_mp
        for i in range(n_post):
            last = i == n_post - 1
            size = outputs if last else width
            self.post.append(Block(pyg.Linear(inputs, size), size, config, last=last))
            inputs = size

    def forward(
        self, x: Features, edges: Tensor | Adjacency, batch: Tensor | None = None
    ) -> Tensor:
        """Scores of nodes or graphs.

        Args:
            x: Node features ``[nodes, inputs]``; sparse ones where `starts_linear` holds.
            edges: ``[2, edges]``, or the same as an `Adjacency`, which is faster.
            batch: For graphs, the graph of each node ``[nodes]``.
        """
        for block in self.pre:
            x = block(x)
        for i, block in enumerate(self.mp):
            new = block(x, edges)
            x = self._join(x, new) if i < self.joined else new
        out = cast(Tensor, x)
        if self.level == "graph":
            out = self.pooling(out, batch)
        for block in self.post:
            out = block(out)
        return out

    def _join(self, x: Features, new: Tensor) -> Tensor:
        if self.stage == "stack" or isinstance(x, SparseMatrix):
            return new
        if self.stage == "skip-concat":
            return torch.cat([x, new], dim=1)
        return x + new if new.shape == x.shape else new


def drop(x: Features, share: float, *, training: bool) -> Features:
    """Dropout of a dense tensor, or of the stored values of a sparse matrix."""
    if not training or share == 0:
        return x
    if isinstance(x, SparseMatrix):
        return x.with_values(_drop(x.values, share))
    return _drop(x, share)


def _drop(x: Tensor, share: float) -> Tensor:
    if x.device.type != "cpu":
        return nn.functional.dropout(x, share)
    # PyTorch's own draws one number for each element, three times slower: here a draw serves four.
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= round(share * 2**16) - 2**15
    return x * kept.to(x.dtype).mul_(1 / (1 - share))


def starts_linear(config: Config, inputs: int) -> bool:
    """Whether the network's first step is a linear map of the features, which may be sparse then.

    Not where a skip connection, or an identity inside the layer, takes the features on.
    """
    if config["layers_pre"]:
        return True
    if config["stage"] == "skip-concat" or inputs == config["width"]:
        return False
    return takes_sparse_features(str(config["layer"]), str(config.get("aggregation")))
