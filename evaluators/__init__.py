"""What measures a configuration: tasks, evaluators, outcomes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets import load_task
    from .elastic import ElasticEvaluator
    from .graph import GraphEvaluator
    from .graph_tasks import GraphClassification, LinkPrediction, NodeClassification
    from .image import ImageEvaluator
    from .image_tasks import ImageClassification
    from .models import load_model
    from .table import TableEvaluator
    from .task import Outcome
    from .text import TextEvaluator
    from .text_tasks import TextClassification

_EXPORTS = {
    "ElasticEvaluator": "elastic",
    "GraphClassification": "graph_tasks",
    "GraphEvaluator": "graph",
    "ImageClassification": "image_tasks",
    "ImageEvaluator": "image",
    "LinkPrediction": "graph_tasks",
    "NodeClassification": "graph_tasks",
    "Outcome": "task",
    "TableEvaluator": "table",
    "TextClassification": "text_tasks",
    "TextEvaluator": "text",
    "load_model": "models",
    "load_task": "datasets",
}

__all__ = [
    "ElasticEvaluator",
    "GraphClassification",
    "GraphEvaluator",
    "ImageClassification",
    "ImageEvaluator",
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
