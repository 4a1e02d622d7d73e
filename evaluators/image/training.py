"""Train an image network: SGD on a cosine schedule, a look at the validation part each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..budgets import check_positive
from ..task import Report
from ..training_loop import TrainingLoop, TrainingResult, Validation
from .tasks import Images, batches

SCORING_BATCH = 500
CLIP = 5.0
"""The largest norm of a gradient, DARTS'."""

MOMENTUM = 0.9
"""Of SGD, Nesterov's."""


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
) -> TrainingResult:
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
    optimizer = make_optimizer(network, budget)
    steps = budget.epochs * max(1, len(images) // budget.batch_size)
    # The recursive form of the cosine: its last digits differ from those of the closed one.
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)

    def next_rate(done: int) -> None:
        if done:
            schedule.step()

    def loss(batch: Images) -> Tensor:
        return functional.cross_entropy(network(batch.x), batch.y)

    loop = TrainingLoop(
        network,
        optimizer,
        loss,
        rate=budget.learning_rate,
        clip=CLIP,
        before_step=next_rate,
    )
    watched = None
    if report is not None and validation is not None:
        judging = validation
        watched = Validation(lambda: score(network, judging), report)

    def epoch_batches(epoch: int) -> Iterator[Images]:
        return batches(images, budget.batch_size, generator, flips=flips, shift=images.shift)

    return loop.run(budget.epochs, epoch_batches, validation=watched)


def make_optimizer(network: nn.Module, budget: Budget) -> torch.optim.SGD:
    """SGD with Nesterov's momentum; everything decays."""
    return torch.optim.SGD(
        network.parameters(),
        budget.learning_rate,
        momentum=MOMENTUM,
        weight_decay=budget.weight_decay,
        nesterov=True,
    )


@torch.no_grad()
def score(network: nn.Module, images: Images) -> tuple[float, float]:
    """(accuracy, loss) of a network in evaluation mode."""
    network.eval()
    scores = torch.cat([network(part) for part in torch.split(images.x, SCORING_BATCH)])
    accuracy = float((scores.argmax(1) == images.y).float().mean())
    return accuracy, float(functional.cross_entropy(scores, images.y))


def scores(network: nn.Module, parts: Mapping[str, Images]) -> dict[str, float]:
    """``PART_accuracy`` and ``PART_loss`` of each part."""
    measured: dict[str, float] = {}
    for part, images in parts.items():
        accuracy, loss = score(network, images)
        measured |= {f"{part}_accuracy": accuracy, f"{part}_loss": loss}
    return measured


def probabilities(network: nn.Module, x: Tensor) -> Tensor:
    """``[n, classes]`` of standardised images ``[n, channels, height, width]``."""
    with torch.no_grad():
        return torch.cat([network(part).softmax(1) for part in torch.split(x, SCORING_BATCH)])
