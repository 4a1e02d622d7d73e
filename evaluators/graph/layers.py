"""Message-passing layers by type, and faster forms of them for graphs that never change.

PyTorch Geometric's layers gather and scatter. `apply_layer` computes the same function of the same
weights by sparse products (see `graph_sparse`), linear maps first wherever they commute with the
aggregation: then features may be sparse, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg
from torch_geometric.utils import softmax

from ...spaces import Config
from .sparse import Adjacency, FixedMatrix, SparseMatrix


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
    "cheb": lambda i, o, c: pyg.ChebConv(i, o, K=cast(int, c["order"])),
    "arma": lambda i, o, c: pyg.ARMAConv(i, o),
    "general": lambda i, o, c: pyg.GeneralConv(i, o, aggr=c["aggregation"]),
    "mlp": lambda i, o, c: PlainLayer(i, o),
}
"""(inputs, outputs, configuration) -> message-passing layer, by layer type."""


def linear(layer: Any, x: Tensor | SparseMatrix) -> Tensor:
    """A linear layer on dense or sparse features."""
    if isinstance(x, SparseMatrix):
        return _biased(layer, x @ layer.weight.t())
    return cast(Tensor, layer(x))


def _biased(layer: Any, x: Tensor) -> Tensor:
    return x if layer.bias is None else cast(Tensor, x + layer.bias)


def apply_layer(layer: nn.Module, x: Tensor | SparseMatrix, edges: Tensor | Adjacency) -> Tensor:
    """One message-passing layer, by products where ``edges`` is an `Adjacency`."""
    if isinstance(edges, Adjacency):
        return _BY_PRODUCTS[type(layer)](layer, x, edges)
    return cast(Tensor, layer(x, edges))


def takes_sparse_features(layer: str, aggregation: str) -> bool:
    """Whether `apply_layer` maps features linearly before anything else."""
    return not (aggregation == "max" and layer in ("sage", "graph"))


def _gcn(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    return cast(Tensor, edges.normalised_with_loops @ linear(layer.lin, x) + layer.bias)


def _aggregated(aggregation: str, layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    """A linear map of the aggregated neighbours."""
    if aggregation == "max":
        assert isinstance(x, Tensor)
        return linear(layer, edges.sum.maximum(x))
    # The bias falls on each node once, so it stays outside.
    matrix: FixedMatrix = edges.mean if aggregation == "mean" else edges.sum
    mapped = x @ layer.weight.t()
    return _biased(layer, matrix @ mapped)


def _sage(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    return _aggregated(layer.aggr, layer.lin_l, x, edges) + linear(layer.lin_r, x)


def _graph(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    return _aggregated(layer.aggr, layer.lin_rel, x, edges) + linear(layer.lin_root, x)


def _isomorphism(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    first, *others = layer.nn
    mapped = x @ first.weight.t()
    out: Tensor = edges.sum @ mapped + (1 + layer.eps) * mapped + first.bias
    for module in others:
        out = module(out)
    return out


def _chebyshev(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    # Clenshaw's recurrence: the polynomial of the Laplacian acts on mapped features only.
    terms = [linear(lin, x) for lin in layer.lins]
    matrix = edges.scaled_laplacian
    later, latest = torch.zeros_like(terms[0]), torch.zeros_like(terms[0])
    for term in reversed(terms[1:]):
        later, latest = latest, term + 2 * (matrix @ latest) - later
    return cast(Tensor, terms[0] + matrix @ latest - later + layer.bias)


def _moving_average(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    out = edges.normalised @ (x @ layer.init_weight[0]) + x @ layer.root_weight[0, 0]
    return cast(Tensor, layer.act(out + layer.bias[0, 0]))


def _general(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    messages = linear(layer.lin_msg, x)
    if layer.aggr == "max":
        out = edges.sum.maximum(messages)
    else:
        out = (edges.mean if layer.aggr == "mean" else edges.sum) @ messages
    identity = isinstance(layer.lin_self, nn.Identity)
    return out + (cast(Tensor, x) if identity else linear(layer.lin_self, x))


def _attention(layer: Any, x: Tensor | SparseMatrix, edges: Adjacency) -> Tensor:
    matrix = edges.with_loops
    mapped = linear(layer.lin, x).view(edges.nodes, layer.heads, layer.out_channels)
    source, target = (mapped * layer.att_src).sum(-1), (mapped * layer.att_dst).sum(-1)
    scores = functional.leaky_relu(
        _rows(source, matrix.cols) + _rows(target, matrix.rows), layer.negative_slope
    )
    weights = softmax(scores, matrix.rows, num_nodes=edges.nodes)
    heads = [
        matrix.with_values(weights[:, head].contiguous()) @ mapped[:, head].contiguous()
        for head in range(layer.heads)
    ]
    return cast(Tensor, torch.stack(heads).mean(0) + layer.bias)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    return x.index_select(0, index)


_BY_PRODUCTS: dict[type[nn.Module], Callable[[Any, Tensor | SparseMatrix, Adjacency], Tensor]] = {
    pyg.GCNConv: _gcn,
    pyg.SAGEConv: _sage,
    pyg.GATConv: _attention,
    pyg.GINConv: _isomorphism,
    pyg.GraphConv: _graph,
    pyg.ChebConv: _chebyshev,
    pyg.ARMAConv: _moving_average,
    pyg.GeneralConv: _general,
    PlainLayer: lambda layer, x, edges: linear(layer.lin, x),
}
