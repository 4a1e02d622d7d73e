"""Saved models: a folder with ``model.safetensors`` and ``model.json``. Nothing is pickled."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .. import __version__
from ..common.errors import DataError, unknown_name
from .task import Fitted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"

LOADERS = {
    "elastic": ".once_for_all.model:load_elastic_model",
    "graph": ".graph.model:load_graph_model",
    "image": ".image.model:load_image_model",
    "tuned-image": ".image.tuned_model:load_tuned_image_model",
    "text": ".text.model:load_text_model",
}
"""The function that loads each kind of model: ``module:name`` in this package."""


TUNED = ("tuned-image", "text")
"""Kinds that have a backbone, which is not saved with them."""


def load_model(folder: str | Path, *, backbone: nn.Module | str | None = None) -> Fitted:
    """A model that `Study.fit_best` or a model's ``save`` wrote.

    Args:
        folder: Where ``model.json`` and ``model.safetensors`` are.
        backbone: Of a tuned model: the module where it has no name, or where a named one is now.

    Raises:
        DataError: There is no model in the folder, or a backbone is given for a model without one.
        UnknownNameError: The model is of a kind that this version does not know.
    """
    path = Path(folder) / DESCRIPTION
    if not path.exists():
        raise DataError(f"no model in {str(folder)!r}: give the folder that fit_best() wrote")
    kind = json.loads(path.read_text())["kind"]
    if kind not in LOADERS:
        raise unknown_name("kind of model", kind, LOADERS)
    module, name = LOADERS[kind].split(":")
    more: dict[str, Any] = {} if backbone is None else {"backbone": backbone}
    if more and kind not in TUNED:
        raise DataError(f"the model in {str(folder)!r} takes no backbone: leave it out")
    model: Fitted = getattr(importlib.import_module(module, __package__), name)(folder, **more)
    return model


@dataclass(frozen=True)
class SavedModel:
    """What `write_model` wrote: facts and metrics as plain values, weights by name."""

    facts: dict[str, Any]
    metrics: dict[str, float]
    weights: dict[str, Tensor]


def write_model(
    folder: str | Path,
    kind: str,
    network: nn.Module,
    facts: DataclassInstance,
    metrics: dict[str, float],
) -> None:
    """Write a trained model.

    Args:
        folder: Made where it is missing.
        kind: A key of `LOADERS`.
        network: Whose weights are kept.
        facts: What is needed, beside the weights, to rebuild the network.
        metrics: As measured after the training.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    weights = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, str(place / WEIGHTS))
    description: dict[str, Any] = {"kind": kind, "bequest_version": __version__}
    description |= {"facts": asdict(facts), "metrics": metrics}
    (place / DESCRIPTION).write_text(json.dumps(description, indent=2, default=str))


def read_model(folder: str | Path) -> SavedModel:
    """What `write_model` wrote into a folder."""
    place = Path(folder)
    saved = json.loads((place / DESCRIPTION).read_text())
    return SavedModel(saved["facts"], saved["metrics"], load_file(str(place / WEIGHTS)))
