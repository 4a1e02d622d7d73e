"""The evaluator of networks of cells, trained from scratch on images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from ...spaces import Config, Space
from ...spaces.cell import nas_bench_201_space
from ..budgets import unusual
from ..fitted_model import ModelKind
from ..supernet import Supernet
from ..task import Report
from ..training_evaluator import Provenance, Trained, TrainingEvaluator
from .cell_network import Shape, cell_network, check_cells
from .image_model import ImageFacts, ImageKind
from .supernet import ImageHalves, cell_supernet
from .tasks import ImageClassification, Images
from .training import Budget, scores, train


class ImageEvaluator(TrainingEvaluator):
    """Trains the network that a configuration's cells make, from scratch, and measures it.

    The objective is the accuracy on the validation part after the last epoch; the test part decides
    nothing. On a CPU the outcome is a pure function of (configuration, seed).

    Args:
        task: What is predicted.
        space: NAS-Bench-201's cells (default) or DARTS'.
        budget: Epochs, images, resolution.
        channels, cells: Channels of the first cells; cells in each of the three stages.
        device: Where to train; by default a GPU where there is one.

    Raises:
        SpaceError: The space is not one of cells.

    Example:
        >>> evaluator = ImageEvaluator(load_task("digits"))  # doctest: +SKIP
        >>> evaluator(evaluator.space.default, seed=0).value  # doctest: +SKIP
        0.98
    """

    def __init__(
        self,
        task: ImageClassification,
        *,
        space: Space | None = None,
        budget: Budget | None = None,
        channels: int = 8,
        cells: int = 1,
        device: str | None = None,
    ) -> None:
        super().__init__(task, space or nas_bench_201_space(), device)
        self.task: ImageClassification = task
        self.budget = budget or Budget()
        self.shape = Shape(task.channels, task.classes, channels, cells)
        check_cells(self.space)

    @property
    def conditions(self) -> dict[str, Any]:
        """Other networks around the cells, other trainings."""
        usual = Shape(self.shape.inputs, self.shape.classes)
        return unusual(self.budget, Budget()) | unusual(self.shape, usual)

    def supernet(self, *, seed: int, **options: Any) -> Supernet:
        """All cells of the space at once, on the training part in two halves.

        The validation part, on which trials are judged, is not looked at.

        Args:
            seed: Decides split, initialisation and batches.
            **options: ``gate``, ``zero_one`` and ``decaying_skip`` of `Supernet`.
        """
        images = self._parts(seed)["train"]
        train_half, validation_half = images.halves(seed)
        halves = ImageHalves(
            train_half,
            validation_half,
            seed=seed,
            batch_size=self.budget.batch_size,
            flips=self.task.flips,
            shift=images.shift,
        )
        supernet = cell_supernet(self.space, self.shape, halves, seed=seed, **options)
        supernet.network.to(self.device)
        return supernet

    def _train(self, config: Config, seed: int, report: Report | None) -> Trained:
        return self._train_on(self._parts(seed), config, seed, report)

    def _train_on_both(self, config: Config, seed: int) -> Trained:
        parts = self._parts(seed)
        parts["train"] = parts["train"].joined(parts.pop("validation"))
        return self._train_on(parts, config, seed, None)

    def _train_on(
        self, parts: dict[str, Images], config: Config, seed: int, report: Report | None
    ) -> Trained:
        network = cell_network(self.space, config, self.shape).to(self.device)
        training = train(
            network,
            parts["train"],
            self.budget,
            seed=seed,
            flips=self.task.flips,
            validation=parts.get("validation"),
            report=report,
        )
        one = parts["test"].x[:1]
        return Trained(network, training, lambda: scores(network, parts), lambda: network(one))

    def _kind(self, network: nn.Module, origin: Provenance) -> ModelKind:
        scale = self.task.scale(origin.seed, self.budget.images)
        facts = ImageFacts(
            space=self.space.name,
            shape=asdict(self.shape),
            size=self.budget.size,
            mean=scale[0].flatten().tolist(),
            deviation=scale[1].flatten().tolist(),
            **vars(origin),
        )
        return ImageKind(facts)

    def _parts(self, seed: int) -> dict[str, Images]:
        parts = self.task.parts(seed, self.budget.images, self.budget.size)
        return {k: v.to(self.device) for k, v in parts.items()}
