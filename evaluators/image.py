"""Measure a network of cells on an image task; train and keep the winner."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .. import __version__
from ..errors import DataError
from ..spaces import Config, Space
from ..spaces.cell import nas_bench_201_space
from ..spaces.named import make_space
from .cell_network import Shape, cell_network, check_cells
from .cost import count_flops, count_parameters
from .image_tasks import ImageClassification, Images, prepare
from .image_training import Budget, ImageTraining, probabilities, score, train
from .running import trainable
from .supernet import Supernet
from .supernet_image import ImageHalves, cell_supernet
from .task import Outcome, Report

PARTS = ("train", "validation", "test")


class ImageEvaluator:
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
        self.task = task
        self.space = space or nas_bench_201_space()
        self.budget = budget or Budget()
        self.shape = Shape(task.channels, task.classes, channels, cells)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        check_cells(self.space)

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        """Train and measure.

        Raises:
            ConfigurationError: The configuration is not in the space.
            EvaluationError: The training diverged or did not fit into memory.
        """
        config = self.space.validate(config)
        with trainable(self.device, seed):
            parts = self._parts(seed)
            network, training = self._train(config, parts, seed, report)
            metrics = _metrics(network, parts)
            one = parts["validation"].x[:1]
            metrics["flops"] = float(count_flops(lambda: network(one), network))
        metrics |= {
            "parameters": float(count_parameters(network)),
            "peak_memory_bytes": float(training.peak_memory_bytes),
            "seconds": training.seconds,
            "epochs": float(self.budget.epochs),
        }
        return Outcome(metrics["validation_accuracy"], metrics)

    def fit(self, config: Config, *, seed: int, train_on_validation: bool = False) -> ImageModel:
        """Train once more and keep the network.

        Args:
            config: What to train.
            seed: Decides split, initialisation and batches.
            train_on_validation: Train on training and validation images together.

        Raises:
            EvaluationError: The training diverged or did not fit into memory.
        """
        config = self.space.validate(config)
        with trainable(self.device, seed):
            parts = self._parts(seed)
            if train_on_validation:
                both = (parts["train"], parts.pop("validation"))
                joined = [torch.cat([getattr(part, name) for part in both]) for name in "xy"]
                parts["train"] = Images(joined[0], joined[1])
            network, _ = self._train(config, parts, seed, None)
            metrics = _metrics(network, parts)
        scale = self.task.scale(seed, self.budget.images)
        facts = ImageFacts(
            space=self.space.name,
            config=config,
            shape=asdict(self.shape),
            size=self.budget.size,
            mean=scale[0].flatten().tolist(),
            deviation=scale[1].flatten().tolist(),
            task={"name": self.task.name, **self.task.describe()},
            seed=seed,
            train_on_validation=train_on_validation,
        )
        return ImageModel(network.cpu(), facts, metrics)

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
            shift=images.x.shape[-1] // 8,
        )
        supernet = cell_supernet(self.space, self.shape, halves, seed=seed, **options)
        supernet.network.to(self.device)
        return supernet

    def _parts(self, seed: int) -> dict[str, Images]:
        parts = self.task.parts(seed, self.budget.images, self.budget.size)
        return {k: Images(v.x.to(self.device), v.y.to(self.device)) for k, v in parts.items()}

    def _train(
        self, config: Config, parts: dict[str, Images], seed: int, report: Report | None
    ) -> tuple[nn.Module, ImageTraining]:
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
        return network, training


def _metrics(network: nn.Module, parts: dict[str, Images]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for part, images in parts.items():
        accuracy, loss = score(network, images)
        metrics |= {f"{part}_accuracy": accuracy, f"{part}_loss": loss}
    return metrics


# The trained model --------------------------------------------------------------------------------

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
        x = np.asarray(images)
        x = x[:, None] if x.ndim == 3 else x
        wanted = self.facts.shape["inputs"]
        if x.ndim != 4 or x.shape[1] != wanted:
            raise DataError(
                f"the model takes images of {wanted} channels, [n, {wanted}, height, width], and "
                f"got {list(np.shape(images))}"
            )
        scale = [torch.tensor(v).view(-1, 1, 1) for v in (self.facts.mean, self.facts.deviation)]
        return probabilities(self.network, prepare(x, (scale[0], scale[1]), self.facts.size))

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``; read by `bequest.load_model`."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        weights = {k: v.contiguous() for k, v in self.network.state_dict().items()}
        save_file(weights, str(place / "model.safetensors"))
        facts: dict[str, Any] = {"kind": KIND, "bequest_version": __version__}
        facts |= {"facts": asdict(self.facts), "metrics": self.metrics}
        (place / "model.json").write_text(json.dumps(facts, indent=2, default=str))


def load_image_model(folder: str | Path) -> ImageModel:
    """The model that `ImageModel.save` wrote. Nothing is unpickled."""
    place = Path(folder)
    saved = json.loads((place / "model.json").read_text())
    facts = ImageFacts(**saved["facts"])
    network = cell_network(make_space(facts.space), facts.config, Shape(**facts.shape))
    network.load_state_dict(load_file(str(place / "model.safetensors")))
    return ImageModel(network, facts, saved["metrics"])
