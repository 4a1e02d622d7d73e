"""The base of evaluators that train: train, measure on the validation part, fit the winner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..spaces import Config, Space
from .cost import count_flops, count_parameters
from .fitted_model import FittedModel, ModelKind
from .task import Outcome, Report, Task
from .training_loop import TrainingResult, trainable


@dataclass(frozen=True)
class Trained:
    """A trained network, and how to measure it.

    Attributes:
        network: In evaluation mode.
        training: How the training went.
        scores: Measures metric and loss on each part: ``train_accuracy``, ``test_loss``, ...
        forward: One forward pass, for counting.
        thorough: Measures a model that is kept by what would be too expensive in each trial, for
            example on the whole test part.
    """

    network: nn.Module
    training: TrainingResult
    scores: Callable[[], dict[str, float]]
    forward: Callable[[], Tensor]
    thorough: Callable[[], dict[str, float]] = dict


@dataclass(frozen=True)
class Provenance:
    """Where a trained model came from: the facts that all kinds of model share.

    Attributes:
        config, seed: What was trained.
        task: The task's name, and how it describes itself.
        train_on_validation: Whether it has learned from the validation data, too.
    """

    config: Config
    task: dict[str, Any]
    seed: int
    train_on_validation: bool


class TrainingEvaluator(ABC):
    """Trains what a configuration describes. On a CPU the outcome is a function of (config, seed).

    A subclass says how a network is trained and what kind of model it is.

    Args:
        task: What is predicted.
        space: The configurations there are.
        device: Where to train; by default a GPU where there is one.
    """

    def __init__(self, task: Task, space: Space, device: str | None) -> None:
        self.task = task
        self.space = space
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        """Train and measure.

        Raises:
            ConfigurationError: The configuration is not in the space.
            EvaluationError: The training diverged or did not fit into memory.
        """
        config = self.space.validate(config)
        with trainable(self.device, seed):
            trained = self._train(config, seed, report)
            metrics = trained.scores()
            metrics["flops"] = float(count_flops(trained.forward, trained.network))
        training = trained.training
        metrics |= {
            "parameters": float(count_parameters(trained.network)),
            "peak_memory_bytes": float(training.peak_memory_bytes),
            "seconds": training.seconds,
            "epochs": float(training.epochs),
            "best_epoch": float(training.best_epoch),
        }
        return Outcome(metrics[f"validation_{self.task.metric}"], metrics)

    def fit(self, config: Config, *, seed: int, train_on_validation: bool = False) -> FittedModel:
        """Train once more and keep the network.

        Args:
            config: What to train.
            seed: Decides split, initialisation and batches.
            train_on_validation: Train on training and validation data together, for as long as
                validation has found best.

        Raises:
            EvaluationError: The training diverged or did not fit into memory.
        """
        config = self.space.validate(config)
        with trainable(self.device, seed):
            if train_on_validation:
                trained = self._train_on_both(config, seed)
            else:
                trained = self._train(config, seed, None)
            metrics = trained.scores() | trained.thorough()
        if train_on_validation:  # a score on training data says nothing
            metrics = {k: v for k, v in metrics.items() if not k.startswith("validation_")}
        task = {"name": self.task.name, **self.task.describe()}
        origin = Provenance(config, task, seed, train_on_validation)
        network = trained.network.cpu()
        return FittedModel(network, self._kind(network, origin), metrics)

    @abstractmethod
    def _train(self, config: Config, seed: int, report: Report | None) -> Trained:
        """Train on the training part."""

    @abstractmethod
    def _train_on_both(self, config: Config, seed: int) -> Trained:
        """Train on the training and validation parts together."""

    @abstractmethod
    def _kind(self, network: nn.Module, origin: Provenance) -> ModelKind:
        """How the trained network predicts, and what is saved beside its weights.

        Args:
            network: On the CPU.
            origin: Where it came from.
        """
