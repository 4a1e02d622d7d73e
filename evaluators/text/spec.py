"""The evaluator of text tasks, as `bequest.evaluators.factory` knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common.errors import SpaceError
from ..factory import EvaluatorOptions, EvaluatorSpec
from ..task import Evaluator

if TYPE_CHECKING:
    from .tasks import TextClassification


def _tuning(task: TextClassification, space: str, options: EvaluatorOptions) -> Evaluator:
    from ..finetuning.options import budget_of, limits_of
    from .backbones import MINILM
    from .evaluator import TextEvaluator
    from .training import TextBudget

    backbone = MINILM if options.backbone is None else options.backbone
    if not isinstance(backbone, str):
        raise SpaceError(
            f"a backbone of texts needs a tokenizer, and {type(backbone).__name__} is a module: "
            "give its folder or its name on the hub"
        )
    budget = budget_of(TextBudget(), options)
    return TextEvaluator(task, backbone=backbone, budget=budget, limits=limits_of(options, space))


TUNING = EvaluatorSpec(
    kinds=("text classification",),
    spaces=("peft",),
    make=_tuning,
    options=frozenset({"epochs", "examples", "backbone", "limits"}),
    refusals={
        "images": "space {space!r} takes no --images: leave it out; --examples counts training "
        "examples, and half as many validate",
        "size": "space {space!r} takes no --size: leave it out; it averages images down, and task "
        "{task!r} has texts",
    },
)
