"""The evaluator that fits a task and a space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SpaceError
from ..spaces.named import make_space
from .task import Evaluator

if TYPE_CHECKING:
    from .graph_tasks import GraphTask
    from .image_tasks import ImageClassification
    from .image_training import Budget

GRAPH_SPACES = ("gnn", "nas-bench-graph")
IMAGE_SPACES = ("nas-bench-201", "darts")
"""What may be searched on each kind of data; the first is the default."""


def make_evaluator(
    task: GraphTask | ImageClassification, space: str | None = None, budget: Budget | None = None
) -> Evaluator:
    """What measures configurations of a space on a task.

    Args:
        task: As `load_task` gives it.
        space: The space's name; by default the usual one for the task.
        budget: What a training on images may cost.

    Raises:
        UnknownNameError: There is no such space.
        SpaceError: It does not fit the task, or a budget is given for a graph.
    """
    from .image_tasks import ImageClassification

    images = isinstance(task, ImageClassification)
    fitting = IMAGE_SPACES if images else GRAPH_SPACES
    name = space or fitting[0]
    made = make_space(name)
    if name not in fitting:
        raise SpaceError(
            f"space {name!r} does not fit {task.kind} ({task.name!r}): use {' or '.join(fitting)}"
        )
    if isinstance(task, ImageClassification):
        from .image import ImageEvaluator

        return ImageEvaluator(task, space=made, budget=budget)
    if budget is not None:
        raise SpaceError(
            f"task {task.name!r} is a graph: epochs, images and size are for images (a graph's "
            "epochs are searched)"
        )
    if name == "nas-bench-graph":
        from .graph_cell import GraphCellEvaluator

        return GraphCellEvaluator(task)
    from .graph import GraphEvaluator

    return GraphEvaluator(task)
