"""A trained classifier of texts: predicts, is saved with its own weights only, is read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...common.errors import DataError
from ...spaces import Config
from ..finetuning.hub import digest_of
from ..finetuning.network import TunedNetwork, logits_of, rebuilt
from ..saved_models import read_model, write_model
from .backbones import Backbone, load_backbone
from .tasks import Texts
from .tokens import Tokens

KIND = "text"


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


class TextModel:
    """A tuned backbone with its head.

    Args:
        network: Trained.
        backbone: That of the network, with its tokenizer.
        facts: What is saved beside the weights.
        metrics: See below.

    Attributes:
        metrics: Training, validation and test metrics, as measured once after the training.
    """

    def __init__(
        self,
        network: TunedNetwork,
        backbone: Backbone,
        facts: TextFacts,
        metrics: dict[str, float],
    ) -> None:
        self.network = network.cpu().eval()
        self.network.model.to("cpu")
        self.backbone = backbone
        self.facts = facts
        self.metrics = metrics

    def predict(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[str]:
        """The class of each text or pair, as the task's labels say it."""
        best = self.predict_proba(texts).argmax(dim=1).tolist()
        return [self.facts.classes[i] for i in best]

    def predict_proba(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> Tensor:
        """Probabilities ``[n, classes]``.

        Raises:
            DataError: There are texts where pairs are needed, or the other way round.
        """
        if isinstance(texts, str) or any(
            isinstance(text, str) == self.facts.pairs for text in texts
        ):
            wanted = "pairs of texts" if self.facts.pairs else "a list of texts"
            raise DataError(f"the model takes {wanted}, and got {type(texts).__name__} of others")
        if not len(texts):
            return torch.zeros(0, len(self.facts.classes))
        labels = np.zeros(len(texts), dtype=np.int64)
        if self.facts.pairs:
            given = Texts([t[0] for t in texts], [t[1] for t in texts], labels)
        else:
            given = Texts([str(t) for t in texts], None, labels)
        tokens = Tokens.of(given, self.backbone, self.facts.length)
        return torch.as_tensor(logits_of(self.network, tokens).softmax(dim=1))

    def save(self, folder: str | Path) -> None:
        """Write the method's and the head's weights and ``model.json``; the backbone is named."""
        write_model(folder, KIND, self.network, self.facts, self.metrics)


def load_text_model(folder: str | Path, backbone: str | None = None) -> TextModel:
    """The model that `TextModel.save` wrote. Nothing is unpickled.

    Args:
        folder: Where it was saved.
        backbone: Where the backbone is now, if it is no longer where it was.

    Raises:
        DataError: The backbone's weights are not those on which it was tuned.
    """
    saved = read_model(folder)
    facts = TextFacts(**saved.facts)
    held = load_backbone(backbone or facts.backbone)
    if digest_of(held.model) != facts.digest:
        raise DataError(
            f"the model in {str(folder)!r} was tuned on backbone {facts.backbone!r} with other "
            "weights: give the right one, load_model(folder, backbone=FOLDER), or tune anew"
        )
    network = rebuilt(held.model, facts.config, len(facts.classes), saved.weights)
    return TextModel(network, held, facts, saved.metrics)
