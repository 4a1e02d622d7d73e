"""Train a method and its head: AdamW, warm-up and linear decay, batches of like lengths."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..budgets import check_positive
from ..training_loop import TrainingLoop, TrainingResult, Validation, warm_up_and_decay
from .batches import Examples, FrozenStates, random_batches
from .network import TunedNetwork, logits_of, one_batch

WARM_UP = 0.06
"""The share of the steps in which the learning rate rises."""

CLIP = 1.0
"""The largest norm of a gradient."""

MICRO_BATCH = 16
"""Examples that are in memory together; larger batches are summed up of such parts."""


@dataclass(frozen=True)
class TuningBudget:
    """How much a training may cost; the defaults fit a CPU.

    Attributes:
        epochs: Passes over the training examples.
        examples: At most so many training examples, and half as many for validation; ``None`` for
            all.
    """

    epochs: int = 3
    examples: int | None = 1000

    def __post_init__(self) -> None:
        check_positive(self, vars(self))


@dataclass(frozen=True)
class TuningSettings:
    """The settings of one training.

    Attributes:
        learning_rate: Of the method, at its highest.
        head_factor: The head's learning rate in parts of the method's; the space's ``head_rate``.
        weight_decay: Of matrices; vectors do not decay.
        batch: Examples in a step.
        epochs: Passes over the training examples.
    """

    learning_rate: float
    head_factor: float
    weight_decay: float
    batch: int
    epochs: int


def train(
    network: TunedNetwork,
    examples: Examples,
    settings: TuningSettings,
    *,
    seed: int,
    states: FrozenStates | None = None,
    validation: Validation | None = None,
) -> TrainingResult:
    """Train a network in place; the last weights stay.

    Args:
        network: Fresh.
        examples: What to learn from.
        settings: Rates, batch, epochs.
        seed: Draws batches.
        states: The backbone's states for the same examples, where the method only reads them.
        validation: How the training is watched.

    Raises:
        EvaluationError: The loss or a weight is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    handle = network.handle
    steps = settings.epochs * math.ceil(len(examples) / settings.batch)

    def loss(index: list[int]) -> Tensor:
        logits = one_batch(network, examples, index, states)
        labels = examples.labels[index].to(logits.device)
        return functional.cross_entropy(logits.float(), labels)

    loop = TrainingLoop(
        network,
        make_optimizer(network, settings),
        loss,
        rate=settings.learning_rate,
        clip=CLIP,
        before_step=lambda done: before_step(done),
        split=micro_batches,
        penalty=handle.regularise,
        after_backward=lambda index: handle.after_backward(lambda: loss(index[:MICRO_BATCH])),
    )
    optimizer_began = 0

    def before_step(done: int) -> None:
        nonlocal optimizer_began
        if handle.advance(done / steps, loop.last_loss):
            loop.optimizer, optimizer_began = make_optimizer(network, settings), done
        share = warm_up_and_decay(done - optimizer_began, steps - optimizer_began, WARM_UP)
        for group in loop.optimizer.param_groups:
            group["lr"] = group["peak"] * share

    def after_epoch(epoch: int) -> None:
        if epoch == settings.epochs:
            handle.finish()
        loop.check_weights(epoch)

    return loop.run(
        settings.epochs,
        lambda epoch: random_batches(examples, settings.batch, generator),
        validation=validation,
        after_epoch=after_epoch,
    )


def make_optimizer(network: TunedNetwork, settings: TuningSettings) -> torch.optim.Optimizer:
    """AdamW; each group's highest learning rate is its ``peak``."""
    rate = settings.learning_rate
    groups: list[dict[str, Any]] = network.handle.groups(rate)
    head = {"params": network.head.parameters(), "lr": rate * settings.head_factor}
    optimizer = torch.optim.AdamW([*groups, head], weight_decay=settings.weight_decay, fused=True)
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    return optimizer


def micro_batches(index: list[int]) -> Iterator[tuple[float, list[int]]]:
    """A batch in parts of `MICRO_BATCH` examples, each with its share of the batch."""
    for start in range(0, len(index), MICRO_BATCH):
        part = index[start : start + MICRO_BATCH]
        yield len(part) / len(index), part


def score(
    network: TunedNetwork, examples: Examples, states: FrozenStates | None = None
) -> tuple[float, float]:
    """(accuracy, loss) on some examples, through the backbone or from its stored states."""
    logits = logits_of(network, examples, states)
    accuracy = float((logits.argmax(dim=1) == examples.labels).float().mean())
    return accuracy, float(functional.cross_entropy(logits, examples.labels))
