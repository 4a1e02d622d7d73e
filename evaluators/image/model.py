"""A trained network of cells: predicts, is saved, is read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...spaces import Config
from ...spaces.named import make_space
from ..saved_models import read_model, write_model
from .cell_network import Shape, cell_network
from .tasks import of_channels, prepare
from .training import probabilities

KIND = "image"


@dataclass(frozen=True)
class ImageFacts:
    """What is needed, beside the weights, to rebuild a model and to know where it came from."""

    space: str
    config: Config
    shape: dict[str, int]
    size: int | None
    mean: list[float]
    deviation: list[float]
    task: dict[str, Any]
    seed: int
    train_on_validation: bool


class ImageModel:
    """A trained network of cells.

    Attributes:
        metrics: Training, validation and test metrics, as measured once after the training.
    """

    def __init__(self, network: nn.Module, facts: ImageFacts, metrics: dict[str, float]) -> None:
        self.network = network.eval()
        self.facts = facts
        self.metrics = metrics

    def predict(self, images: np.ndarray) -> Tensor:
        """The class of each image ``[n]``, int64; images as the task has them."""
        return self.predict_proba(images).argmax(1)

    def predict_proba(self, images: np.ndarray) -> Tensor:
        """Probabilities ``[n, classes]``.

        Raises:
            DataError: The number of channels is not the model's.
        """
        x = of_channels(images, self.facts.shape["inputs"])
        scale = [torch.tensor(v).view(-1, 1, 1) for v in (self.facts.mean, self.facts.deviation)]
        return probabilities(self.network, prepare(x, (scale[0], scale[1]), self.facts.size))

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``; read by `bequest.load_model`."""
        write_model(folder, KIND, self.network, self.facts, self.metrics)


def load_image_model(folder: str | Path) -> ImageModel:
    """The model that `ImageModel.save` wrote. Nothing is unpickled."""
    saved = read_model(folder)
    facts = ImageFacts(**saved.facts)
    network = cell_network(make_space(facts.space), facts.config, Shape(**facts.shape))
    network.load_state_dict(saved.weights)
    return ImageModel(network, facts, saved.metrics)
