"""The evaluators of graph tasks, as `bequest.evaluators.factory` knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..factory import EvaluatorOptions, EvaluatorSpec
from ..task import Evaluator

if TYPE_CHECKING:
    from .tasks import GraphTask, NodeClassification

_NOT_FOR_GRAPHS = (
    "task {task!r} is a graph: epochs, images and size are for images (a graph's epochs are "
    "searched)"
)
_REFUSALS = dict.fromkeys(("epochs", "images", "size"), _NOT_FOR_GRAPHS)


def _networks(task: GraphTask, space: str, options: EvaluatorOptions) -> Evaluator:
    from .evaluator import GraphEvaluator

    return GraphEvaluator(task)


def _cells(task: NodeClassification, space: str, options: EvaluatorOptions) -> Evaluator:
    from .cell import GraphCellEvaluator

    return GraphCellEvaluator(task)


NETWORKS = EvaluatorSpec(
    kinds=("node classification", "graph classification", "link prediction"),
    spaces=("gnn",),
    make=_networks,
    refusals=_REFUSALS,
)
CELLS = EvaluatorSpec(
    kinds=("node classification",), spaces=("nas-bench-graph",), make=_cells, refusals=_REFUSALS
)
