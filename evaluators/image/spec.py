"""The evaluators of image tasks, as `bequest.evaluators.factory` knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...common.errors import SpaceError
from ...spaces.named import make_space
from ..factory import EvaluatorOptions, EvaluatorSpec
from ..task import Evaluator

if TYPE_CHECKING:
    from .tasks import ImageClassification

KIND = "image classification"


def budget_fields(options: EvaluatorOptions) -> dict[str, Any]:
    """What options say of a training on images, as fields of `Budget`; 0 stands for no bound."""
    asked = {"epochs": options.epochs, "images": options.images, "size": options.size}
    return {
        name: None if value == 0 and name != "epochs" else value
        for name, value in asked.items()
        if value is not None
    }


def _cells(task: ImageClassification, space: str, options: EvaluatorOptions) -> Evaluator:
    from .evaluator import ImageEvaluator
    from .training import Budget

    return ImageEvaluator(task, space=make_space(space), budget=Budget(**budget_fields(options)))


def _tuning(task: ImageClassification, space: str, options: EvaluatorOptions) -> Evaluator:
    from ..finetuning.options import budget_of, limits_of
    from ..finetuning.training import TuningBudget
    from .tuning import ImageTuningEvaluator

    if options.backbone is None:
        raise SpaceError(
            f"space {space!r} on images ({task.name!r}) needs a backbone: give --backbone (in "
            "Python EvaluatorOptions) the folder of a vision transformer or its name on the hub, "
            "say google/vit-base-patch16-224"
        )
    budget = budget_of(TuningBudget(), options)
    return ImageTuningEvaluator(
        task, options.backbone, budget=budget, limits=limits_of(options, space)
    )


CELLS = EvaluatorSpec(
    kinds=(KIND,),
    spaces=("nas-bench-201", "darts"),
    make=_cells,
    options=frozenset({"epochs", "images", "size"}),
)
TUNING = EvaluatorSpec(
    kinds=(KIND,),
    spaces=("peft",),
    make=_tuning,
    options=frozenset({"epochs", "examples", "backbone", "limits"}),
    refusals={
        "images": "space {space!r} takes no --images: leave it out; --examples counts training "
        "examples, and half as many validate",
        "size": "space {space!r} takes no --size: leave it out; the backbone says how large images "
        "are",
    },
)
