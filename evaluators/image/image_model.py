"""How trained networks of cells are rebuilt, and how images become their inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...spaces import Config
from ...spaces.named import make_space
from ..fitted_model import ModelKind, SavedModel
from .cell_network import Shape, cell_network
from .tasks import of_channels, prepare
from .training import probabilities


@dataclass(frozen=True)
class ImageFacts:
    """What is needed, beside the weights, to rebuild a model and to know where it came from.

    Attributes:
        space: Its name, of those in `bequest.spaces.named`.
        shape: The network around the cells.
        size: Height and width to which images are averaged down; ``None`` for as they are.
        mean, deviation: Of each channel of the training images.
    """

    space: str
    config: Config
    shape: dict[str, int]
    size: int | None
    mean: list[float]
    deviation: list[float]
    task: dict[str, Any]
    seed: int
    train_on_validation: bool


class ImageKind(ModelKind):
    """Networks that were trained from scratch on images."""

    name = "image"
    facts: ImageFacts

    @classmethod
    def rebuild(cls, saved: SavedModel) -> tuple[nn.Module, ModelKind]:
        """The network of the configuration's cells, with the saved weights."""
        facts = ImageFacts(**saved.facts)
        network = cell_network(make_space(facts.space), facts.config, Shape(**facts.shape))
        network.load_state_dict(saved.weights)
        return network, cls(facts)

    def probabilities(self, network: nn.Module, inputs: np.ndarray) -> Tensor:
        """``[n, classes]``.

        Raises:
            DataError: The number of channels is not the model's.
        """
        x = of_channels(inputs, self.facts.shape["inputs"])
        mean, deviation = (
            torch.tensor(v).view(-1, 1, 1) for v in (self.facts.mean, self.facts.deviation)
        )
        return probabilities(network, prepare(x, (mean, deviation), self.facts.size))
