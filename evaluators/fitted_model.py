"""Trained models: they predict, are saved without pickling, and are read again.

A saved model is a folder with ``model.safetensors`` (weights) and ``model.json`` (its kind, the
facts from which its network is rebuilt, its metrics). What differs between kinds of model is a
`ModelKind`, registered by one line below.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..common.errors import DataError, unknown_name
from ..common.registry import resolve
from ..common.version import __version__

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"

KINDS: dict[str, str | type[ModelKind]] = {
    "elastic": ".once_for_all.quantised_model:QuantisedKind",
    "graph": ".graph.graph_model:GraphKind",
    "image": ".image.image_model:ImageKind",
    "tuned-image": ".image.tuned_image_model:TunedImageKind",
    "text": ".text.text_model:TextKind",
}
"""The `ModelKind` of each kind of model; ``module:class`` in this package."""


@dataclass(frozen=True)
class SavedModel:
    """What a folder holds.

    Attributes:
        folder: Where it was read.
        facts: As plain values.
        weights: By name.
        backbone: What the reader gave in place of the backbone that the facts name.
    """

    folder: Path
    facts: dict[str, Any]
    weights: dict[str, Tensor]
    backbone: nn.Module | str | None = None


class ModelKind(ABC):
    """What a kind of model knows beside its network.

    Args:
        facts: What is needed, beside the weights, to rebuild the network and to know where it came
            from; saved as plain values.
    """

    name: ClassVar[str]
    """Its key in `KINDS`."""

    takes_backbone: ClassVar[bool] = False
    """Whether the network has a backbone that is not saved with it."""

    def __init__(self, facts: DataclassInstance) -> None:
        self.facts: Any = facts

    @classmethod
    @abstractmethod
    def rebuild(cls, saved: SavedModel) -> tuple[nn.Module, ModelKind]:
        """The network with its weights, and its kind with the facts."""

    @abstractmethod
    def probabilities(self, network: nn.Module, inputs: Any) -> Tensor:
        """``[n, classes]``, of inputs as the task has them; without gradients."""

    def answers(self, probabilities: Tensor) -> Any:
        """What is predicted by probabilities ``[n, classes]``: the most likely class ``[n]``."""
        return probabilities.argmax(1)

    def weights(self, network: nn.Module) -> Mapping[str, Tensor]:
        """What is saved of the network."""
        return network.state_dict()


class FittedModel:
    """A trained model.

    Args:
        network: Trained, on the CPU.
        kind: How it is asked, and what is saved beside its weights.
        metrics: See below.

    Attributes:
        metrics: Training, validation and test metrics, as measured once after the training.
    """

    def __init__(self, network: nn.Module, kind: ModelKind, metrics: dict[str, float]) -> None:
        self.network = network.eval()
        self.kind = kind
        self.metrics = metrics

    @property
    def facts(self) -> Any:
        """Where the model came from, and what is needed to rebuild it."""
        return self.kind.facts

    def predict(self, inputs: Any) -> Any:
        """What is predicted for each example.

        Args:
            inputs: Of graphs: a `Data`; where whole graphs are classified a `Data`, a `Batch` or a
                sequence of `Data`; for links a `Data` with ``edge_label_index [2, pairs]``.
                Of images: ``[n, channels, height, width]``, or without channels where there is one.
                Of texts: a list of texts, or of pairs of them.

        Returns:
            ``[n]`` int64 classes of nodes, graphs or images; ``[pairs]`` probabilities of links; a
            list of the classes of texts, as the task's labels say them.

        Raises:
            DataError: The inputs are not what the model takes.
        """
        return self.kind.answers(self.predict_proba(inputs))

    def predict_proba(self, inputs: Any) -> Tensor:
        """Probabilities ``[n, classes]``; ``[pairs]`` for links.

        Args:
            inputs: As for `predict`.

        Raises:
            DataError: The inputs are not what the model takes.
        """
        return self.kind.probabilities(self.network, inputs)

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``; read by `bequest.load_model`.

        A backbone is named, not saved; one that was given as a module has no name, and
        `bequest.load_model` must be given it.

        Args:
            folder: Created where it is missing.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        weights = self.kind.weights(self.network)
        save_file(
            {name: value.clone().contiguous() for name, value in weights.items()},
            str(target / WEIGHTS),
        )
        description = {
            "kind": self.kind.name,
            "bequest_version": __version__,
            "facts": asdict(self.facts),
            "metrics": self.metrics,
        }
        (target / DESCRIPTION).write_text(json.dumps(description, indent=2, default=str))


def load_model(folder: str | Path, *, backbone: nn.Module | str | None = None) -> FittedModel:
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
    description = json.loads(path.read_text())
    if description["kind"] not in KINDS:
        raise unknown_name("kind of model", description["kind"], KINDS)
    kind: type[ModelKind] = resolve(KINDS[description["kind"]], __package__)
    if backbone is not None and not kind.takes_backbone:
        raise DataError(f"the model in {str(folder)!r} takes no backbone: leave it out")
    weights = load_file(str(Path(folder) / WEIGHTS))
    saved = SavedModel(Path(folder), description["facts"], weights, backbone)
    return FittedModel(*kind.rebuild(saved), description["metrics"])
