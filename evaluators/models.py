"""Saved models of every kind, by their folder."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from ..errors import DataError, unknown_name
from .task import Fitted

LOADERS = {"graph": ".graph:load_graph_model", "image": ".image:load_image_model"}
"""The function that loads each kind of model: ``module:name`` in this package."""


def load_model(folder: str | Path) -> Fitted:
    """A model that `Study.fit_best` or a model's ``save`` wrote.

    Args:
        folder: Where ``model.json`` and ``model.safetensors`` are.

    Raises:
        DataError: There is no model in the folder.
        UnknownNameError: The model is of a kind that this version does not know.
    """
    path = Path(folder) / "model.json"
    if not path.exists():
        raise DataError(f"no model in {str(folder)!r}: give the folder that fit_best() wrote")
    kind = json.loads(path.read_text())["kind"]
    if kind not in LOADERS:
        raise unknown_name("kind of model", kind, LOADERS)
    module, name = LOADERS[kind].split(":")
    model: Fitted = getattr(importlib.import_module(module, __package__), name)(folder)
    return model
