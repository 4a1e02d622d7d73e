"""How tuned vision transformers are rebuilt on their backbones, and how images become inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...common.errors import ArchitectureError
from ...spaces import Config
from ..finetuning.network import TunedNetwork, logits_of, rebuilt
from ..fitted_model import ModelKind, SavedModel
from .backbones import load_image_backbone
from .pixels import PixelForm, Pixels
from .tasks import of_channels


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


class TunedImageKind(ModelKind):
    """Vision transformers with a fine-tuning method and a head; only these two are saved."""

    name = "tuned-image"
    takes_backbone = True
    facts: TunedImageFacts

    @classmethod
    def rebuild(cls, saved: SavedModel) -> tuple[nn.Module, ModelKind]:
        """The method on its backbone, with the saved weights.

        Raises:
            ArchitectureError: The backbone has no name and is not given, or another one is given.
        """
        form = PixelForm(**saved.facts["form"])
        facts = TunedImageFacts(**{**saved.facts, "form": form})
        if not facts.named and not isinstance(saved.backbone, nn.Module):
            raise ArchitectureError(
                f"the model in {str(saved.folder)!r} was tuned on a {facts.backbone} that has no "
                "name: read it with load_model(folder, backbone=MODULE)"
            )
        given = facts.backbone if saved.backbone is None else saved.backbone
        backbone = load_image_backbone(given)
        if backbone.digest != facts.digest:
            raise ArchitectureError(
                f"the model in {str(saved.folder)!r} was tuned on a {facts.backbone} with other "
                "weights: give what it was tuned on, as it was then"
            )
        network = rebuilt(backbone.model, facts.config, facts.classes, saved.weights)
        return network, cls(facts)

    def probabilities(self, network: nn.Module, inputs: np.ndarray) -> Tensor:
        """``[n, classes]``.

        Raises:
            DataError: The number of channels is not that of the task.
        """
        x = of_channels(inputs, self.facts.channels)
        # One position each: lengths only sort batches, and these need no order.
        pixels = Pixels(x, torch.zeros(len(x), dtype=torch.long), self.facts.form, 1)
        return logits_of(cast(TunedNetwork, network), pixels).softmax(dim=1)
