"""How tuned classifiers of texts are rebuilt on their backbones, and how texts become inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...common.errors import DataError
from ...spaces import Config
from ..finetuning.hub import digest_of
from ..finetuning.network import TunedNetwork, logits_of, rebuilt
from ..fitted_model import ModelKind, SavedModel
from .backbones import Backbone, load_backbone
from .tasks import Texts
from .tokens import Tokens


@dataclass(frozen=True)
class TextFacts:
    """What is needed, beside the weights, to rebuild a model and to know where it came from.

    Attributes:
        backbone: Its name.
        digest: Of its weights, as they were before the training.
        classes: Names.
        pairs: Whether pairs of texts are classified.
        length: Tokens after which texts are cut.
    """

    config: Config
    backbone: str
    digest: str
    classes: list[str]
    pairs: bool
    length: int
    task: dict[str, Any]
    seed: int
    train_on_validation: bool


class TextKind(ModelKind):
    """Backbones of texts with a fine-tuning method and a head; only these two are saved.

    Args:
        facts: What is saved beside the weights.
        backbone: Its tokenizer makes inputs of texts.
    """

    name = "text"
    takes_backbone = True
    facts: TextFacts

    def __init__(self, facts: TextFacts, backbone: Backbone) -> None:
        super().__init__(facts)
        self.backbone = backbone

    @classmethod
    def rebuild(cls, saved: SavedModel) -> tuple[nn.Module, ModelKind]:
        """The method on its backbone, with the saved weights.

        Raises:
            DataError: The backbone's weights are not those on which it was tuned, or it is given as
                a module.
        """
        facts = TextFacts(**saved.facts)
        if isinstance(saved.backbone, nn.Module):
            raise DataError(
                f"the model in {str(saved.folder)!r} needs a tokenizer beside its backbone: give "
                "the backbone's folder or its name on the hub"
            )
        backbone = load_backbone(saved.backbone or facts.backbone)
        if digest_of(backbone.model) != facts.digest:
            raise DataError(
                f"the model in {str(saved.folder)!r} was tuned on backbone {facts.backbone!r} with "
                "other weights: give the right one, load_model(folder, backbone=FOLDER), or tune "
                "anew"
            )
        network = rebuilt(backbone.model, facts.config, len(facts.classes), saved.weights)
        return network, cls(facts, backbone)

    def answers(self, probabilities: Tensor) -> list[str]:
        """The most likely class of each text or pair, as the task's labels say it."""
        return [self.facts.classes[i] for i in probabilities.argmax(dim=1).tolist()]

    def probabilities(
        self, network: nn.Module, inputs: Sequence[str] | Sequence[tuple[str, str]]
    ) -> Tensor:
        """``[n, classes]``.

        Raises:
            DataError: There are texts where pairs are needed, or the other way round.
        """
        if isinstance(inputs, str) or any(
            isinstance(text, str) == self.facts.pairs for text in inputs
        ):
            wanted = "pairs of texts" if self.facts.pairs else "a list of texts"
            raise DataError(f"the model takes {wanted}, and got {type(inputs).__name__} of others")
        if not len(inputs):
            return torch.zeros(0, len(self.facts.classes))
        labels = np.zeros(len(inputs), dtype=np.int64)
        if self.facts.pairs:
            texts = Texts([t[0] for t in inputs], [t[1] for t in inputs], labels)
        else:
            texts = Texts([str(t) for t in inputs], None, labels)
        tokens = Tokens.of(texts, self.backbone, self.facts.length)
        return logits_of(cast(TunedNetwork, network), tokens).softmax(dim=1)
