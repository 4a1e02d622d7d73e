"""Train an image network: SGD on a cosine schedule, a look at the validation part each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...common.errors import EvaluationError
from ..budgets import check_positive
from ..cost import PeakMemory
from ..task import Report
from ..training_results import Training
from .tasks import Images, batches

SCORING_BATCH = 500
CLIP = 5.0
"""The largest norm of a gradient, DARTS'."""


@dataclass(frozen=True)
class Budget:
    """How much a training may cost; the defaults fit a CPU.

    Attributes:
        epochs: Passes over the training images.
        images: Training and validation images together; ``None`` for all.
        size: Height and width; larger images are averaged down; ``None`` for as they are.
        batch_size, learning_rate, weight_decay: Of SGD with momentum .9, the rate falling to 0.
    """

    epochs: int = 10
    images: int | None = 10_000
    size: int | None = 16
    batch_size: int = 64
    learning_rate: float = 0.05
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        check_positive(self, ("epochs", "images", "size", "batch_size", "learning_rate"))


def train(
    network: nn.Module,
    images: Images,
    budget: Budget,
    *,
    seed: int,
    flips: bool,
    validation: Images | None = None,
    report: Report | None = None,
) -> Training:
    """Train a network in place; the last weights stay.

    Args:
        network: Fresh, on the images' device.
        images: What to learn from.
        budget: Epochs and optimiser.
        seed: Draws batches, mirrors and shifts.
        flips: Whether images may be mirrored.
        validation: Measured after each epoch for ``report``.
        report: Takes (epoch, validation accuracy); may raise to end the training.

    Raises:
        EvaluationError: The loss is not finite.
    """
    optimizer = torch.optim.SGD(
        network.parameters(),
        budget.learning_rate,
        momentum=0.9,
        weight_decay=budget.weight_decay,
        nesterov=True,
    )
    memory = PeakMemory(network, optimizer, images.x.device)
    generator = torch.Generator().manual_seed(seed)
    shift = images.shift
    steps = budget.epochs * max(1, len(images) // budget.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started = time.perf_counter()
    for epoch in range(1, budget.epochs + 1):
        network.train()
        first = epoch == 1
        for batch in batches(images, budget.batch_size, generator, flips=flips, shift=shift):
            with memory.watch() if first else nullcontext():
                loss = functional.cross_entropy(network(batch.x), batch.y)
            first = False
            if not math.isfinite(loss.item()):
                raise EvaluationError(
                    f"the training diverged in epoch {epoch}: a learning_rate below "
                    f"{budget.learning_rate:.3g} may help"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            schedule.step()
        if report is not None and validation is not None:
            report(epoch, score(network, validation)[0])
    network.eval()
    seconds = time.perf_counter() - started
    return Training(budget.epochs, budget.epochs, seconds, memory.bytes())


@torch.no_grad()
def score(network: nn.Module, images: Images) -> tuple[float, float]:
    """(accuracy, loss) of a network in evaluation mode."""
    network.eval()
    scores = torch.cat([network(part) for part in torch.split(images.x, SCORING_BATCH)])
    accuracy = float((scores.argmax(1) == images.y).float().mean())
    return accuracy, float(functional.cross_entropy(scores, images.y))


def scores(network: nn.Module, parts: Mapping[str, Images]) -> dict[str, float]:
    """``PART_accuracy`` and ``PART_loss`` of each part."""
    found: dict[str, float] = {}
    for part, images in parts.items():
        accuracy, loss = score(network, images)
        found |= {f"{part}_accuracy": accuracy, f"{part}_loss": loss}
    return found


def probabilities(network: nn.Module, x: Tensor) -> Tensor:
    """``[n, classes]`` of standardised images ``[n, channels, height, width]``."""
    with torch.no_grad():
        return torch.cat([network(part).softmax(1) for part in torch.split(x, SCORING_BATCH)])
