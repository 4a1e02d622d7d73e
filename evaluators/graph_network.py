"""Graph networks, built from a configuration of the `gnn` space, on PyTorch Geometric's layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

from ..spaces import Config

_POOLING = pyg.global_mean_pool

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "prelu": nn.PReLU,
    "swish": nn.SiLU,
    "elu": nn.ELU,
}


class PlainLayer(nn.Module):
    """A linear layer that ignores the edges: the `mlp` layer type."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.lin = pyg.Linear(inputs, outputs)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return cast(Tensor, self.lin(x))


def _gin(inputs: int, outputs: int, config: Config) -> nn.Module:
    inner = nn.Sequential(pyg.Linear(inputs, outputs), nn.ReLU(), pyg.Linear(outputs, outputs))
    return cast(nn.Module, pyg.GINConv(inner, train_eps=True))


LAYERS: dict[str, Callable[[int, int, Config], nn.Module]] = {
    "gcn": lambda i, o, c: pyg.GCNConv(i, o),
    "sage": lambda i, o, c: pyg.SAGEConv(i, o, aggr=c["aggregation"]),
    # Heads are averaged: so any width goes with any number of heads.
    "gat": lambda i, o, c: pyg.GATConv(i, o, heads=cast(int, c["heads"]), concat=False),
    "gin": _gin,
    "graph": lambda i, o, c: pyg.GraphConv(i, o, aggr=c["aggregation"]),
    "cheb": lambda i, o, c: pyg.ChebConv(i, o, K=2),
    "arma": lambda i, o, c: pyg.ARMAConv(i, o),
    "general": lambda i, o, c: pyg.GeneralConv(i, o, aggr=c["aggregation"]),
    "mlp": lambda i, o, c: PlainLayer(i, o),
}
"""(inputs, outputs, configuration) -> message-passing layer, by layer type."""

FEATURES_FIRST = ("gcn", "mlp")
"""Layers whose first step is a linear map of the features: they take sparse ones as they are."""


class Block(nn.Module):
    """Dropout, then a layer, then batch normalisation and activation.

    Dropout stands first, so that it falls on the input features, too (Kipf and Welling, 2017).
    """

    def __init__(self, layer: nn.Module, outputs: int, config: Config, *, last: bool) -> None:
        super().__init__()
        self.dropout = cast(float, config["dropout"])
        self.layer = layer
        norm = config["batch_norm"] and not last
        self.norm = nn.BatchNorm1d(outputs) if norm else nn.Identity()
        self.activation = nn.Identity() if last else ACTIVATIONS[str(config["activation"])]()

    def forward(self, x: Tensor, *edges: Tensor) -> Tensor:
        x = drop(x, self.dropout, training=self.training)
        return cast(Tensor, self.activation(self.norm(self.layer(x, *edges))))


class GraphNetwork(nn.Module):
    """A graph network with layers before, in and after message passing.

    Args:
        config: A configuration of the `gnn` space.
        inputs: Features of a node.
        outputs: Classes; for link prediction the size of a node's embedding.
        level: ``"node"``, ``"link"`` (both emit ``[nodes, outputs]``) or ``"graph"``
            (mean pooling, ``[graphs, outputs]``).
    """

    def __init__(self, config: Config, inputs: int, outputs: int, level: str) -> None:
        super().__init__()
        self.level = level
        self.stage = str(config["stage"])
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

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        """Scores of nodes or graphs.

        Args:
            x: Node features ``[nodes, inputs]``, dense or sparse CSR.
            edge_index: ``[2, edges]``.
            batch: For graphs, the graph of each node ``[nodes]``.
        """
        for block in self.pre:
            x = block(x)
        for i, block in enumerate(self.mp):
            new = block(x, edge_index)
            x = self._join(x, new) if i < self.joined else new
        if self.level == "graph":
            x = _POOLING(x, batch)
        for block in self.post:
            x = block(x)
        return x

    def _join(self, x: Tensor, new: Tensor) -> Tensor:
        if self.stage == "skip-sum" and new.shape == x.shape:
            return x + new
        return torch.cat([x, new], dim=1) if self.stage == "skip-concat" else new


def drop(x: Tensor, share: float, *, training: bool) -> Tensor:
    """Dropout for dense tensors and for the stored values of sparse CSR ones."""
    if not training or share == 0:
        return x
    if x.layout == torch.sparse_csr:
        values = nn.functional.dropout(x.values(), share)
        return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape)
    return nn.functional.dropout(x, share)


def takes_sparse_features(config: Config) -> bool:
    """Whether the network's first step is a linear map of the features (see `GraphNetwork`)."""
    if config["layers_pre"]:
        return True
    # A skip connection would join the raw features to the first layer's output.
    return config["layer"] in FEATURES_FIRST and config["stage"] == "stack"


def cache_normalisation(network: GraphNetwork, *, on: bool) -> None:
    """Let GCN layers keep the normalised adjacency: right for one unchanging graph only."""
    for module in network.modules():
        if isinstance(module, pyg.GCNConv):
            convolution: Any = module
            convolution.cached = on
            convolution._cached_edge_index = None
            convolution._cached_adj_t = None
