"""The evaluator of elastic spaces, as `bequest.evaluators.factory` knows it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...spaces.named import make_space
from ..factory import EvaluatorOptions, EvaluatorSpec
from ..image.spec import KIND, budget_fields
from ..task import Evaluator

if TYPE_CHECKING:
    from ..image.tasks import ImageClassification
    from .budget import ElasticBudget


def elastic_budget(options: EvaluatorOptions) -> ElasticBudget:
    """The usual budget with what is asked for.

    ``epochs`` are those of a fine-tuning, and of the training of a network that is kept where they
    are more; ``images`` are split into the training and validation parts of everything.
    """
    from .budget import ElasticBudget

    usual = ElasticBudget()
    asked = budget_fields(options)
    shared = {name: asked.pop(name) for name in ("images",) if name in asked}
    longest = max(usual.keeping.epochs, options.epochs or 0)
    return replace(
        usual,
        shrinking=replace(usual.shrinking, **shared),
        fine_tuning=replace(usual.fine_tuning, **asked),
        keeping=replace(usual.keeping, epochs=longest),
    )


def _once_for_all(task: ImageClassification, space: str, options: EvaluatorOptions) -> Evaluator:
    from ..hardware.table import CostTable
    from .evaluator import ElasticEvaluator

    table = None if options.cost_table is None else CostTable.load(options.cost_table)
    return ElasticEvaluator(
        task, space=make_space(space), budget=elastic_budget(options), table=table
    )


ONCE_FOR_ALL = EvaluatorSpec(
    kinds=(KIND,),
    spaces=("elastic",),
    make=_once_for_all,
    options=frozenset({"epochs", "images", "size", "cost_table"}),
    refusals={"limits": "the limits of space {space!r} are kept by its sampler: give them there"},
)
