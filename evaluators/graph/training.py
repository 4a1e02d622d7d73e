"""How graph networks are trained: Adam or SGD, early stopping on the validation metric."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from ...spaces import Config
from ..task import Report
from ..training_loop import TrainingLoop, TrainingResult, Validation
from .problems import Problem

EVALUATE_EVERY = 2
"""Epochs between two looks at the validation part: each costs a forward pass."""

MOMENTUM = 0.9
"""Of SGD."""


def train(
    network: nn.Module,
    problem: Problem,
    config: Config,
    *,
    epochs: int,
    patience: int | None,
    report: Report | None = None,
) -> TrainingResult:
    """Train a network in place.

    Args:
        network: Fresh, on the problem's device.
        problem: What to learn.
        config: Optimiser, learning rate and weight decay.
        epochs: At most so many.
        patience: Stop after so many epochs without progress on the validation metric, and restore
            the best epoch; with ``None`` train all epochs and keep the last weights.
        report: Takes (epoch, validation metric); may raise to end the training.

    Raises:
        EvaluationError: The loss is not finite.
    """
    loop: TrainingLoop[Any] = TrainingLoop(
        network,
        make_optimizer(network, config),
        lambda batch: problem.loss(network, batch),
        rate=cast(float, config["learning_rate"]),
    )
    validation = None
    if patience is not None:
        validation = Validation(
            lambda: problem.score(network, "validation"), report, EVALUATE_EVERY, patience
        )
    return loop.run(epochs, lambda epoch: problem.batches(), validation=validation)


def make_optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    """The optimiser of a configuration: ``optimizer``, ``learning_rate`` and ``weight_decay``."""
    parameters = network.parameters()
    rate, decay = cast(float, config["learning_rate"]), cast(float, config["weight_decay"])
    if config["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=MOMENTUM, weight_decay=decay)
    return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)
