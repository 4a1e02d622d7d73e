"""A tuned vision transformer: predicts, is saved with its own weights only, is read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...common.errors import ArchitectureError
from ...spaces import Config
from ..finetuning.network import TunedNetwork, logits_of, rebuilt
from ..saved_models import read_model, write_model
from .backbones import load_image_backbone
from .pixels import PixelForm, Pixels
from .tasks import of_channels

KIND = "tuned-image"


@dataclass(frozen=True)
class TunedImageFacts:
    """What is needed, beside the weights, to rebuild a model and to know where it came from.

    Attributes:
        backbone: Its name, or its class where a user gave a module.
        named: Whether it can be loaded by that name.
        digest: Of its weights, as they were before the training.
        classes: How many.
        channels: Of the images that are predicted.
        form: What the backbone makes of them.
    """

    config: Config
    backbone: str
    named: bool
    digest: str
    classes: int
    channels: int
    form: PixelForm
    task: dict[str, Any]
    seed: int
    train_on_validation: bool


class TunedImageModel:
    """A tuned backbone with its head.

    Attributes:
        metrics: Training, validation and test metrics, as measured once after the training.
    """

    def __init__(
        self, network: TunedNetwork, facts: TunedImageFacts, metrics: dict[str, float]
    ) -> None:
        self.network = network.cpu().eval()
        self.network.model.to("cpu")
        self.facts = facts
        self.metrics = metrics

    def predict(self, images: np.ndarray) -> Tensor:
        """The class of each image ``[n]``, int64; images as the task has them."""
        return self.predict_proba(images).argmax(1)

    def predict_proba(self, images: np.ndarray) -> Tensor:
        """Probabilities ``[n, classes]``.

        Raises:
            DataError: The number of channels is not that of the task.
        """
        x = of_channels(images, self.facts.channels)
        # One position each: lengths only sort batches, and these need no order.
        pixels = Pixels(x, torch.zeros(len(x), dtype=torch.long), self.facts.form, 1)
        return torch.as_tensor(logits_of(self.network, pixels).softmax(dim=1))

    def save(self, folder: str | Path) -> None:
        """Write the method's and the head's weights and ``model.json``; the backbone is named.

        A backbone that was given as a module has no name: `bequest.load_model` must be given it.
        """
        write_model(folder, KIND, self.network, self.facts, self.metrics)


def load_tuned_image_model(
    folder: str | Path, backbone: str | nn.Module | None = None
) -> TunedImageModel:
    """The model that `TunedImageModel.save` wrote. Nothing is unpickled.

    Args:
        folder: Where it was saved.
        backbone: The module on which it was tuned, where that has no name; or where a named one is
            now.

    Raises:
        ArchitectureError: The backbone has no name and is not given, or another one is given.
    """
    saved = read_model(folder)
    form = PixelForm(**saved.facts["form"])
    facts = TunedImageFacts(**{**saved.facts, "form": form})
    if not facts.named and not isinstance(backbone, nn.Module):
        raise ArchitectureError(
            f"the model in {str(folder)!r} was tuned on a {facts.backbone} that has no name: read "
            "it with load_model(folder, backbone=MODULE)"
        )
    held = load_image_backbone(facts.backbone if backbone is None else backbone)
    if held.digest != facts.digest:
        raise ArchitectureError(
            f"the model in {str(folder)!r} was tuned on a {facts.backbone} with other weights: "
            "give what it was tuned on, as it was then"
        )
    network = rebuilt(held.model, facts.config, facts.classes, saved.weights)
    return TunedImageModel(network, facts, saved.metrics)
