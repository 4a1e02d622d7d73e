"""What measures a configuration: tasks, evaluators, outcomes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets import load_task
    from .fitted_model import load_model
    from .graph.evaluator import GraphEvaluator
    from .graph.tasks import GraphClassification, LinkPrediction, NodeClassification
    from .image.evaluator import ImageEvaluator
    from .image.tasks import ImageClassification
    from .image.tuning import ImageTuningEvaluator
    from .once_for_all.evaluator import ElasticEvaluator
    from .table import TableEvaluator
    from .task import Outcome
    from .text.evaluator import TextEvaluator
    from .text.tasks import TextClassification

_EXPORTS = {
    "ElasticEvaluator": "once_for_all.evaluator",
    "GraphClassification": "graph.tasks",
    "GraphEvaluator": "graph.evaluator",
    "ImageClassification": "image.tasks",
    "ImageEvaluator": "image.evaluator",
    "ImageTuningEvaluator": "image.tuning",
    "LinkPrediction": "graph.tasks",
    "NodeClassification": "graph.tasks",
    "Outcome": "task",
    "TableEvaluator": "table",
    "TextClassification": "text.tasks",
    "TextEvaluator": "text.evaluator",
    "load_model": "fitted_model",
    "load_task": "datasets",
}

__all__ = [
    "ElasticEvaluator",
    "GraphClassification",
    "GraphEvaluator",
    "ImageClassification",
    "ImageEvaluator",
    "ImageTuningEvaluator",
    "LinkPrediction",
    "NodeClassification",
    "Outcome",
    "TableEvaluator",
    "TextClassification",
    "TextEvaluator",
    "load_model",
    "load_task",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'bequest.evaluators' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
