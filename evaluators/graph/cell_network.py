"""NAS-Bench-Graph's networks: one of them from its configuration, or all at once as a supernet.

A linear layer and its activation take the features in; four operations stand on a tree below; the
mean of those that no other operation takes in is classified. Source of the space: Qin et al.,
*NAS-Bench-Graph*, NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg

from ...spaces import Config
from ...spaces.nas_bench_graph import LINKS, NODES, OPERATIONS
from .layers import LAYERS, apply_layer, linear
from .network import drop
from .sparse import Adjacency, SparseMatrix

_LAYER = {"fc": "mlp"}
_OPTIONS: Config = {"heads": 2, "order": 2, "aggregation": "mean"}
"""How the operations' free choices are fixed: two heads, Chebyshev order 2, the mean."""

INPUTS = [[int(links[i - 1]) for i in NODES] for links in LINKS]
"""The input of each operation, by link pattern."""


@dataclass(frozen=True)
class Recipe:
    """How networks of the space are built and trained; configurations do not say.

    Attributes:
        width: Of every operation.
        supernet_width: The same in a supernet, which holds them all at once.
        dropout: Before each layer.
        learning_rate, weight_decay: Adam's.
        epochs, patience: At most so many; an end after so many without progress.
    """

    width: int = 64
    supernet_width: int = 32
    dropout: float = 0.5
    learning_rate: float = 0.01
    weight_decay: float = 5e-4
    epochs: int = 200
    patience: int = 40


def _layer(operation: str, width: int) -> nn.Module:
    return LAYERS[_LAYER.get(operation, operation)](width, width, _OPTIONS)


class _Frame(nn.Module):
    """What all networks share: features in, classes out."""

    def __init__(self, inputs: int, classes: int, recipe: Recipe) -> None:
        super().__init__()
        self.dropout = recipe.dropout
        self.first = pyg.Linear(inputs, recipe.width)
        self.classifier = pyg.Linear(recipe.width, classes)

    def enter(self, x: Tensor | SparseMatrix) -> Tensor:
        x = drop(x, self.dropout, training=self.training)
        return functional.relu(linear(self.first, x))

    def leave(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(drop(x, self.dropout, training=self.training)))


class GraphCellNetwork(_Frame):
    """The network of one configuration; the operations that nothing takes in are averaged."""

    def __init__(self, config: Config, inputs: int, classes: int, recipe: Recipe) -> None:
        super().__init__(inputs, classes, recipe)
        self.links = [int(link) for link in str(config["links"])]
        self.outputs = [i for i in NODES if i not in self.links]
        self.operations = nn.ModuleList(
            nn.Identity()
            if config[f"op{i}"] == "skip"
            else _layer(str(config[f"op{i}"]), recipe.width)
            for i in NODES
        )

    def forward(self, x: Tensor | SparseMatrix, edges: Tensor | Adjacency) -> Tensor:
        """Scores ``[nodes, classes]``."""
        nodes = [self.enter(x)]
        for layer, link in zip(self.operations, self.links, strict=True):
            nodes.append(_operate(layer, nodes[link], edges, self.dropout, self.training))
        return self.leave(torch.stack([nodes[i] for i in self.outputs]).mean(0))


def _operate(
    layer: nn.Module, x: Tensor, edges: Tensor | Adjacency, dropout: float, training: bool
) -> Tensor:
    if isinstance(layer, nn.Identity):
        return x
    out = apply_layer(layer, drop(x, dropout, training=training), edges)
    return functional.relu(functional.layer_norm(out, out.shape[1:]))


class GraphCellSupernet(_Frame):
    """All networks at once: an operation's input is the gates' mean over the link patterns."""

    def __init__(self, inputs: int, classes: int, recipe: Recipe) -> None:
        super().__init__(inputs, classes, recipe)
        self.operations = nn.ModuleList(
            nn.ModuleList(
                nn.Identity() if o == "skip" else _layer(o, recipe.width) for o in OPERATIONS
            )
            for _ in NODES
        )

    def forward(
        self, x: Tensor | SparseMatrix, edges: Tensor | Adjacency, gates: Mapping[str, Tensor]
    ) -> Tensor:
        """Scores ``[nodes, classes]``."""
        links = gates["links"]
        nodes = [self.enter(x)]
        for i, layers in zip(NODES, self.operations, strict=True):
            assert isinstance(layers, nn.ModuleList)
            taken = sum(links[p] * nodes[INPUTS[p][i - 1]] for p in range(len(LINKS)))
            outputs = [
                _operate(layer, cast(Tensor, taken), edges, self.dropout, self.training)
                for layer in layers
            ]
            gate = gates[f"op{i}"]
            nodes.append(cast(Tensor, sum(g * o for g, o in zip(gate, outputs, strict=True))))
        out = torch.zeros_like(nodes[0])
        for p, inputs in enumerate(INPUTS):
            ends = [nodes[i] for i in NODES if i not in inputs]
            out = out + links[p] * torch.stack(ends).mean(0)
        return self.leave(out)
