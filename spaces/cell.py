"""Convolutional cells: NAS-Bench-201's and DARTS'.

Sources: Dong, Yang, *NAS-Bench-201*, ICLR 2020 (15,625 cells: one of five operations on each of six
edges); Liu, Simonyan, Yang, *DARTS*, ICLR 2019 (a normal and a reduction cell; four nodes, each
with two inputs among all that stand before it).
"""

from __future__ import annotations

import itertools

from optuna.distributions import CategoricalDistribution

from .parameter import Config, Parameter
from .space import Space

NONE, SKIP = "none", "skip_connect"

NAS_BENCH_201_OPERATIONS = (NONE, SKIP, "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NAS_BENCH_201_EDGES = ("e01", "e02", "e12", "e03", "e13", "e23")
"""``eij``: the operation on the way from node i to node j; 0 is the input, 3 the output."""

DARTS_OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    SKIP,
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
DARTS_CELLS = ("normal", "reduce")
DARTS_NODES = (2, 3, 4, 5)
"""The nodes that compute; 0 and 1 are the outputs of the two cells before."""


def nas_bench_201_space() -> Space:
    """``{"e01": "nor_conv_3x3", ..., "e23": "skip_connect"}``; all 3x3 convolutions by default."""
    operation = CategoricalDistribution(NAS_BENCH_201_OPERATIONS)
    default: Config = dict.fromkeys(NAS_BENCH_201_EDGES, "nor_conv_3x3")
    parameters = [Parameter(edge, operation) for edge in NAS_BENCH_201_EDGES]
    return Space("nas-bench-201", parameters, default=default)


def darts_inputs(node: int) -> tuple[str, ...]:
    """The pairs of inputs that a node may have, for example ``"02"``; the second node has one."""
    return tuple(f"{i}{j}" for i, j in itertools.combinations(range(node), 2))


def darts_space() -> Space:
    """Both cells: ``{"normal3_inputs": "02", "normal3_op0": "sep_conv_3x3", ...}``.

    ``op0`` acts on the first of a node's inputs, ``op1`` on the second. Node 2 has no choice of
    inputs.
    """
    operation = CategoricalDistribution(DARTS_OPERATIONS)
    parameters = []
    default: Config = {}
    for cell, node in itertools.product(DARTS_CELLS, DARTS_NODES):
        name = f"{cell}{node}"
        pairs = darts_inputs(node)
        if len(pairs) > 1:
            parameters.append(Parameter(f"{name}_inputs", CategoricalDistribution(pairs)))
            default[f"{name}_inputs"] = pairs[0]
        parameters += [Parameter(f"{name}_op{k}", operation) for k in (0, 1)]
        default |= {f"{name}_op0": "sep_conv_3x3", f"{name}_op1": "sep_conv_3x3"}
    return Space("darts", parameters, default=default)


def darts_edges(config: Config, cell: str) -> list[tuple[int, int, str]]:
    """The edges of one cell of a configuration: (from, to, operation), two into each node."""
    edges = []
    for node in DARTS_NODES:
        pair = str(config.get(f"{cell}{node}_inputs", "01"))
        edges += [(int(pair[k]), node, str(config[f"{cell}{node}_op{k}"])) for k in (0, 1)]
    return edges
