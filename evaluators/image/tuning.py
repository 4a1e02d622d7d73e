"""The evaluator of fine-tuning configurations on images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ...common.errors import DataError
from ...spaces import Space
from ..budgets import unusual
from ..finetuning.evaluator import TuningEvaluator
from ..finetuning.fingerprint import class_statistics
from ..finetuning.network import TunedNetwork
from ..finetuning.prepared import PARTS, Prepared
from ..finetuning.training import TuningBudget
from ..fitted_model import ModelKind
from ..peft.cost import CostModel
from ..peft.space import peft_space
from ..training_evaluator import Provenance
from .backbones import ImageBackbone, load_image_backbone
from .pixels import PixelForm, Pixels
from .tasks import ImageClassification
from .tuned_image_model import TunedImageFacts, TunedImageKind

STATISTICS = "image-statistics"
"""The kind of fingerprint."""


class ImageTuningEvaluator(TuningEvaluator[ImageBackbone, Pixels]):
    """Puts the configured method on a pre-trained vision transformer, trains it, and measures it.

    The objective is the accuracy on the validation part after the last epoch; the test part decides
    nothing: a trial is tested on as many images as it learned from, a model that is kept on all. On
    a CPU the outcome is a pure function of (configuration, seed).

    Args:
        task: What is predicted.
        backbone: A folder, a model's name on the hub, or a module as `describe_architecture`
            recognises it. Images are brought to its size, channels and scale (see `PixelForm`).
        methods: What is searched, of `searchable` in `bequest.evaluators.peft.space`; by default
            the usual ones that fit the backbone. Those that change word embeddings do not.
        space: The configurations; by default `peft_space` of the backbone, within the limits.
        budget: Epochs, examples.
        limits: The most that a configuration may cost, see `TextEvaluator`.
        device: Where to train; by default a GPU where there is one.

    Raises:
        UnknownNameError: There is no such limit.
        SpaceError: Nothing meets the limits.
        ArchitectureError: The backbone is not recognised, takes texts, or a method does not fit it.
        DataError: There are too few images, or no such backbone.

    Example:
        >>> evaluator = ImageTuningEvaluator(  # doctest: +SKIP
        ...     load_task("fashion-mnist"), "google/vit-base-patch16-224"
        ... )
        >>> evaluator(evaluator.space.default, seed=0).value  # doctest: +SKIP
        0.82
    """

    task: ImageClassification

    def __init__(
        self,
        task: ImageClassification,
        backbone: str | nn.Module,
        *,
        methods: Collection[str] | None = None,
        space: Space | None = None,
        budget: TuningBudget | None = None,
        limits: Mapping[str, float] | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__(
            task,
            space or peft_space(),
            classes=task.classes,
            budget=budget or TuningBudget(),
            limits=limits,
            device=device,
        )
        self._source = backbone
        self.prepared(0)  # what does not fit together is refused here
        if space is None:
            self.space = self._usual_space(methods)

    @property
    def conditions(self) -> dict[str, Any]:
        """The backbone (none is the default), other epochs, examples."""
        return {"backbone": self.backbone.identity} | unusual(self.budget, TuningBudget())

    def fingerprints(self) -> dict[str, Sequence[float]]:
        """The task as the frozen backbone sees it: see `class_statistics`, and the images' size.

        Beside those: pixels of an image in powers of ten, and its channels.
        """
        prepared = self.prepared(0)
        pixels = prepared.parts["train"]
        features = prepared.features(pixels, "train")
        statistics = class_statistics(pixels.labels, features, prepared.classes)
        area = float(np.log10(self.task.height * self.task.width))
        return {STATISTICS: [*statistics.values(), area, float(self.task.channels)]}

    def _load(self) -> ImageBackbone:
        return load_image_backbone(self._source)

    def _prepare(self, seed: int) -> Prepared[Pixels]:
        raw = self.task.arrays(seed, self.budget.examples)
        missing = self.task.missing(raw["train"][1])
        if missing:
            raise DataError(
                f"task {self.task.name!r} has no image of class {missing[0]} among "
                f"{len(raw['train'][1])} training images: train on more examples"
            )
        form = PixelForm.of(self.backbone, raw["train"][0])
        positions = self.backbone.positions(form.height, form.width)

        def made(images: np.ndarray, labels: np.ndarray) -> Pixels:
            return Pixels(images, torch.from_numpy(labels), form, positions)

        parts = {part: made(*raw[part]) for part in PARTS}
        model = self.backbone.model

        def whole_test() -> Pixels:
            return made(*self.task.arrays(seed)["test"])

        return Prepared(parts, whole_test, model, self._classes, self.device)

    def _both(self, seed: int) -> Pixels:
        parts = self.prepared(seed).parts
        return parts["train"].joined(parts["validation"])

    def _cost_model(self) -> CostModel:
        form = self.prepared(0).parts["train"].form
        return CostModel(self.backbone.model, image=(form.channels, form.height, form.width))

    def _kind(self, network: nn.Module, origin: Provenance) -> ModelKind:
        assert isinstance(network, TunedNetwork)
        network.model.to("cpu")
        backbone = self.backbone
        facts = TunedImageFacts(
            backbone=backbone.name,
            named=backbone.named,
            digest=backbone.digest,
            classes=self.task.classes,
            channels=self.task.channels,
            form=self.prepared(origin.seed).parts["train"].form,
            **vars(origin),
        )
        return TunedImageKind(facts)
