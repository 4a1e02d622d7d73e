"""The evaluator that fits a task and a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..common.errors import SpaceError
from ..spaces import Space
from ..spaces.named import make_space
from .task import Evaluator

if TYPE_CHECKING:
    from torch import nn

    from .finetuning.training import TuningBudget
    from .graph.tasks import GraphTask
    from .hardware.table import CostTable
    from .image.tasks import ImageClassification
    from .image.training import Budget
    from .once_for_all.budget import ElasticBudget
    from .text.tasks import TextClassification

GRAPH_SPACES = ("gnn", "nas-bench-graph")
ELASTIC = "elastic"
PEFT = "peft"
IMAGE_SPACES = ("nas-bench-201", "darts", ELASTIC, PEFT)
TEXT_SPACES = (PEFT,)
"""What may be searched on each kind of data; the first is the default."""


@dataclass(frozen=True)
class Tuning:
    """How backbones are tuned: see `TextEvaluator` and `ImageTuningEvaluator`.

    Attributes:
        backbone: A name; on images, where none comes with Bequest, or a module. ``None`` for the
            usual one.
        epochs, examples: Of each training; ``None`` for what is usual, 0 examples for all.
        limits: The most that a configuration may cost, by name.
    """

    backbone: str | nn.Module | None = None
    epochs: int | None = None
    examples: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict)


def make_evaluator(
    task: GraphTask | ImageClassification | TextClassification,
    space: str | None = None,
    budget: Budget | ElasticBudget | None = None,
    tuning: Tuning | None = None,
    costs: CostTable | None = None,
) -> Evaluator:
    """What measures configurations of a space on a task.

    Args:
        task: As `load_task` gives it.
        space: The space's name; by default the usual one for the task.
        budget: What a training on images may cost (see `image_budget`).
        tuning: How a backbone is tuned, in space ``"peft"``.
        costs: Of layers on some machine, in space ``"elastic"``.

    Raises:
        UnknownNameError: There is no such space.
        SpaceError: It does not fit the task, a budget is given for a graph, or a backbone is given
            where none is tuned or missing where one is, or costs where they mean nothing.
    """
    from .image.tasks import ImageClassification
    from .text.tasks import TextClassification

    tuning = tuning or Tuning()
    fitting: tuple[str, ...] = TEXT_SPACES
    if not isinstance(task, TextClassification):
        fitting = IMAGE_SPACES if isinstance(task, ImageClassification) else GRAPH_SPACES
    name = space or fitting[0]
    made = make_space(name)  # an unknown name has its own error
    if name not in fitting:
        raise SpaceError(
            f"space {name!r} does not fit {task.kind} ({task.name!r}): use {' or '.join(fitting)}"
        )
    if name != PEFT and tuning.backbone is not None:
        other = f", or search space {PEFT!r}" if PEFT in fitting else ""
        raise SpaceError(f"space {name!r} has no backbone: leave it out{other}")
    if name != ELASTIC and costs is not None:
        raise SpaceError(
            f"space {name!r} has no table of costs: leave it out, or search {ELASTIC!r}"
        )
    if isinstance(task, TextClassification):
        return _text_evaluator(task, tuning)
    if not isinstance(task, ImageClassification):
        return _graph_evaluator(task, name, budget)
    if name == PEFT:
        return _image_tuning_evaluator(task, budget, tuning)
    return _image_evaluator(task, made, budget, costs)


def _graph_evaluator(
    task: GraphTask, name: str, budget: Budget | ElasticBudget | None
) -> Evaluator:
    if budget is not None:
        raise SpaceError(
            f"task {task.name!r} is a graph: epochs, images and size are for images (a graph's "
            "epochs are searched)"
        )
    if name == "nas-bench-graph":
        from .graph.cell import GraphCellEvaluator

        return GraphCellEvaluator(task)
    from .graph.evaluator import GraphEvaluator

    return GraphEvaluator(task)


def _image_evaluator(
    task: ImageClassification,
    space: Space,
    budget: Budget | ElasticBudget | None,
    costs: CostTable | None,
) -> Evaluator:
    if space.name == ELASTIC:
        from .once_for_all.budget import ElasticBudget
        from .once_for_all.evaluator import ElasticEvaluator

        if budget is not None and not isinstance(budget, ElasticBudget):
            raise SpaceError("space 'elastic' is trained in two parts: give an ElasticBudget")
        return ElasticEvaluator(task, space=space, budget=budget, table=costs)
    from .image.evaluator import ImageEvaluator
    from .image.training import Budget

    if budget is not None and not isinstance(budget, Budget):
        raise SpaceError(f"space {space.name!r} is trained in one part: give a Budget")
    return ImageEvaluator(task, space=space, budget=budget)


def _text_evaluator(task: TextClassification, tuning: Tuning) -> Evaluator:
    from .text.backbones import MINILM
    from .text.evaluator import TextEvaluator
    from .text.training import TextBudget

    backbone = MINILM if tuning.backbone is None else tuning.backbone
    if not isinstance(backbone, str):
        raise SpaceError(
            f"a backbone of texts needs a tokenizer, and {type(backbone).__name__} is a module: "
            "give its folder or its name on the hub"
        )
    budget = _tuning_budget(TextBudget(), tuning)
    return TextEvaluator(task, backbone=backbone, budget=budget, limits=tuning.limits)


def _image_tuning_evaluator(
    task: ImageClassification, budget: Budget | ElasticBudget | None, tuning: Tuning
) -> Evaluator:
    from .finetuning.training import TuningBudget
    from .image.tuning import ImageTuningEvaluator

    if budget is not None:
        raise SpaceError(
            f"space {PEFT!r} tunes a backbone, which says how large images are: give a Tuning with "
            "epochs and examples"
        )
    if tuning.backbone is None:
        raise SpaceError(
            f"space {PEFT!r} on images ({task.name!r}) needs a backbone: give --backbone (in "
            "Python Tuning) the folder of a vision transformer or its name on the hub, say "
            "google/vit-base-patch16-224"
        )
    made = _tuning_budget(TuningBudget(), tuning)
    return ImageTuningEvaluator(task, tuning.backbone, budget=made, limits=tuning.limits)


Budgeted = TypeVar("Budgeted", bound="TuningBudget")


def _tuning_budget(usual: Budgeted, tuning: Tuning) -> Budgeted:
    """The usual budget with what is asked for."""
    asked: dict[str, Any] = {}
    if tuning.epochs is not None:
        asked["epochs"] = tuning.epochs
    if tuning.examples is not None:
        asked["examples"] = tuning.examples or None
    return replace(usual, **asked)


def image_budget(
    space: str | None,
    *,
    epochs: int | None = None,
    images: int | None = None,
    size: int | None = None,
) -> Budget | ElasticBudget | None:
    """The budget of trainings on images, where anything is asked; else ``None``.

    Args:
        space: The space's name. In the elastic space ``epochs`` are those of a fine-tuning.
        epochs: Of each training.
        images: Training and validation images together; 0 for all.
        size: Their height and width; 0 for as they are.
    """
    asked = {"epochs": epochs, "images": images, "size": size}
    given: dict[str, Any] = {
        name: None if value == 0 and name != "epochs" else value
        for name, value in asked.items()
        if value is not None
    }
    if not given:
        return None
    if space == ELASTIC:
        from .once_for_all.budget import ElasticBudget

        usual = ElasticBudget()
        shared = {name: given.pop(name) for name in ("images",) if name in given}
        longest = max(usual.keeping.epochs, epochs or 0)
        return replace(
            usual,
            shrinking=replace(usual.shrinking, **shared),
            fine_tuning=replace(usual.fine_tuning, **given),
            keeping=replace(usual.keeping, epochs=longest),
        )
    from .image.training import Budget

    return Budget(**given)
