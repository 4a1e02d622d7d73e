"""The design space of graph networks.

It holds GraphGym's twelve dimensions (You, Ying, Leskovec, *Design Space for Graph Neural
Networks*, NeurIPS 2020) and AutoTransfer's ten (Cao et al., ICLR 2023).
"""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from .parameter import Condition, Config, Parameter
from .space import Space

LAYERS = ("gcn", "sage", "gat", "gin", "graph", "cheb", "arma", "general", "mlp")
AGGREGATING = ("sage", "graph", "general")
"""Layers whose neighbourhood aggregation is a free choice; the others fix it."""

ACTIVATIONS = ("relu", "prelu", "swish", "elu")
STAGES = ("stack", "skip-sum", "skip-concat")

_PARAMETERS = (
    Parameter("layer", CategoricalDistribution(LAYERS)),
    Parameter(
        "aggregation",
        CategoricalDistribution(("sum", "mean", "max")),
        Condition("layer", AGGREGATING),
    ),
    Parameter("heads", CategoricalDistribution((1, 2, 4)), Condition("layer", ("gat",))),
    Parameter("order", IntDistribution(2, 3), Condition("layer", ("cheb",))),
    Parameter("layers_pre", IntDistribution(0, 3)),
    Parameter("layers_mp", IntDistribution(1, 8)),
    Parameter("layers_post", IntDistribution(0, 3)),
    Parameter("stage", CategoricalDistribution(STAGES)),
    Parameter("activation", CategoricalDistribution(ACTIVATIONS)),
    Parameter("batch_norm", CategoricalDistribution((False, True))),
    Parameter("dropout", FloatDistribution(0.0, 0.8, step=0.1)),
    Parameter("width", IntDistribution(8, 256, log=True)),
    Parameter("optimizer", CategoricalDistribution(("adam", "sgd"))),
    Parameter("learning_rate", FloatDistribution(1e-4, 0.1, log=True)),
    Parameter("weight_decay", FloatDistribution(1e-6, 1e-2, log=True)),
    Parameter("epochs", IntDistribution(50, 400, step=50)),
)
_OF_GRAPHS = (
    Parameter("pooling", CategoricalDistribution(("sum", "mean", "max"))),
    Parameter("batch_size", CategoricalDistribution((16, 32, 64, 128))),
)

_GCN: Config = {
    "layer": "gcn",
    "layers_pre": 0,
    "layers_mp": 2,
    "layers_post": 0,
    "stage": "stack",
    "activation": "relu",
    "batch_norm": False,
    "dropout": 0.6,
    "width": 64,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "weight_decay": 5e-4,
    "epochs": 200,
}
_GIN: Config = {
    "layer": "gin",
    "layers_pre": 1,
    "layers_mp": 4,
    "layers_post": 2,
    "stage": "skip-sum",
    "activation": "relu",
    "batch_norm": True,
    "dropout": 0.0,
    "width": 64,
    "optimizer": "adam",
    "learning_rate": 0.003,
    "weight_decay": 5e-4,
    "epochs": 100,
    "pooling": "sum",
    "batch_size": 32,
}


def gnn_space(kind: str = "node") -> Space:
    """The graph networks for one kind of task, with a textbook network as the default.

    Dimensions: layer type; aggregation, attention heads or polynomial order where the layer type
    has them; layers before, in and after message passing (0 after: the last message-passing layer
    emits the classes); stage (how message-passing layers are joined); activation; batch
    normalisation; dropout; width; optimiser, learning rate, weight decay, epochs; for graphs the
    pooling of nodes and the batch size.

    Args:
        kind: ``"node"``, ``"link"`` or ``"graph"``.
    """
    if kind == "graph":
        return Space("gnn-graph", _PARAMETERS + _OF_GRAPHS, default=_GIN)
    return Space("gnn", _PARAMETERS, default=_GCN)
