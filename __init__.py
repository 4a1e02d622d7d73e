"""Bequest: find a good model for a new task in few trials.

Everything is imported when it is first used: ``import bequest`` itself loads none of the large
libraries.
"""

from __future__ import annotations

import sys

if __name__ in sys.stdlib_module_names:
    # A clone whose folder is called like a standard module (`copy`) would shadow that module for
    # scripts that lie beside it: give them the real one. Nothing is imported before that, as it
    # may be the very module.
    _bootstrap = sys.modules["_frozen_importlib"]
    _path = [entry for entry in sys.path if not __file__.startswith(f"{entry}/{__name__}/")]
    _spec = sys.modules["_frozen_importlib_external"].PathFinder.find_spec(__name__, _path)
    sys.modules[__name__] = _bootstrap.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[__name__])
else:
    from .common import renamed
    from .common.version import __version__

    renamed.install()

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .common.errors import BequestError
    from .evaluators import (
        ElasticEvaluator,
        GraphClassification,
        GraphEvaluator,
        ImageClassification,
        ImageEvaluator,
        ImageTuningEvaluator,
        LinkPrediction,
        NodeClassification,
        Outcome,
        TableEvaluator,
        TextClassification,
        TextEvaluator,
        load_model,
        load_task,
    )
    from .search.study import Study
    from .search.task_selection.selection import TaskSelection
    from .spaces import Condition, Parameter, Space


_EXPORTS = {
    "BequestError": "common.errors",
    "Condition": "spaces",
    "ElasticEvaluator": "evaluators",
    "GraphClassification": "evaluators",
    "GraphEvaluator": "evaluators",
    "ImageClassification": "evaluators",
    "ImageEvaluator": "evaluators",
    "ImageTuningEvaluator": "evaluators",
    "LinkPrediction": "evaluators",
    "NodeClassification": "evaluators",
    "Outcome": "evaluators",
    "Parameter": "spaces",
    "Space": "spaces",
    "Study": "search.study",
    "TableEvaluator": "evaluators",
    "TaskSelection": "search.task_selection.selection",
    "TextClassification": "evaluators",
    "TextEvaluator": "evaluators",
    "load_model": "evaluators",
    "load_task": "evaluators",
}

__all__ = [
    "BequestError",
    "Condition",
    "ElasticEvaluator",
    "GraphClassification",
    "GraphEvaluator",
    "ImageClassification",
    "ImageEvaluator",
    "ImageTuningEvaluator",
    "LinkPrediction",
    "NodeClassification",
    "Outcome",
    "Parameter",
    "Space",
    "Study",
    "TableEvaluator",
    "TaskSelection",
    "TextClassification",
    "TextEvaluator",
    "__version__",
    "load_model",
    "load_task",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'bequest' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
