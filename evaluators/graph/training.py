"""Train a graph network: early stopping on the validation metric, the best epoch restored."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from copy import deepcopy
from typing import cast

import torch
from torch import nn

from ...common.errors import EvaluationError
from ...spaces import Config
from ..cost import PeakMemory
from ..task import Report
from ..training_results import Training
from .problems import Problem

EVALUATE_EVERY = 2
"""Epochs between two looks at the validation part: each costs a forward pass."""


def train(
    network: nn.Module,
    problem: Problem,
    config: Config,
    *,
    epochs: int,
    patience: int | None,
    report: Report | None = None,
) -> Training:
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
    device = next(network.parameters()).device
    optimizer = _optimizer(network, config)
    memory = PeakMemory(network, optimizer, device)
    best = _Best(network)
    started = time.perf_counter()
    epoch = 0
    for epoch in range(1, epochs + 1):
        _run_epoch(network, problem, optimizer, memory if epoch == 1 else None, epoch, config)
        if patience is None or (epoch % EVALUATE_EVERY and epoch != epochs):
            continue
        network.eval()
        with torch.no_grad():
            metric, loss = problem.score(network, "validation")
        best.offer(epoch, metric, loss)
        if report is not None:
            report(epoch, metric)
        if epoch - best.epoch >= patience:
            break
    if patience is not None:
        best.restore()
    network.eval()
    seconds = time.perf_counter() - started
    return Training(best.epoch if patience is not None else epoch, epoch, seconds, memory.bytes())


def _run_epoch(
    network: nn.Module,
    problem: Problem,
    optimizer: torch.optim.Optimizer,
    memory: PeakMemory | None,
    epoch: int,
    config: Config,
) -> None:
    network.train()
    for batch in problem.batches():
        optimizer.zero_grad()
        with memory.watch() if memory is not None else nullcontext():
            loss = problem.loss(network, batch)
        memory = None
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not math.isfinite(loss.item()):
            raise EvaluationError(
                f"the training diverged in epoch {epoch}: a learning_rate below "
                f"{config['learning_rate']:.3g} may help"
            )


def _optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    parameters = network.parameters()
    rate, decay = cast(float, config["learning_rate"]), cast(float, config["weight_decay"])
    if config["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=decay)
    return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)


class _Best:
    """The weights of the best epoch: highest metric, then lowest loss."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.epoch = 0
        self._key = (-math.inf, -math.inf)
        self._weights = deepcopy(network.state_dict())

    def offer(self, epoch: int, metric: float, loss: float) -> None:
        # A loss that is not finite (an exploded validation pass) never breaks a tie.
        key = (metric, -loss if math.isfinite(loss) else -math.inf)
        if key > self._key:
            self.epoch, self._key = epoch, key
            self._weights = deepcopy(self.network.state_dict())

    def restore(self) -> None:
        self.network.load_state_dict(self._weights)
