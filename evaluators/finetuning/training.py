"""Train a method and its head: AdamW, warm-up and linear decay, batches of like lengths."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...common.errors import EvaluationError
from ..budgets import check_positive
from ..cost import PeakMemory
from ..training_results import Training
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
class Settings:
    """Of one training: see the space's parameters of these names."""

    learning_rate: float
    head_rate: float
    weight_decay: float
    batch: int
    epochs: int


def train(
    network: TunedNetwork,
    examples: Examples,
    settings: Settings,
    *,
    seed: int,
    kept: FrozenStates | None = None,
    watch: Callable[[int], None] | None = None,
) -> Training:
    """Train a network in place; the last weights stay.

    Args:
        network: Fresh.
        examples: What to learn from.
        settings: Rates, batch, epochs.
        seed: Draws batches.
        kept: The backbone's states for the same examples, where the method only reads them.
        watch: Told of the end of each epoch; may raise to end the training.

    Raises:
        EvaluationError: The loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = settings.epochs * math.ceil(len(examples) / settings.batch)
    trainer = _Trainer(network, examples, settings, kept, steps)
    started = time.perf_counter()
    for epoch in range(1, settings.epochs + 1):
        network.train()
        for index in random_batches(examples, settings.batch, generator):
            trainer.step(index, epoch)
        if epoch == settings.epochs:
            network.handle.finish()
        trainer.check_finite(epoch)
        if watch is not None:
            watch(epoch)
    network.eval()
    seconds = time.perf_counter() - started
    return Training(settings.epochs, settings.epochs, seconds, trainer.memory.bytes())


class _Trainer:
    """One step after another; a method may ask for a fresh optimiser on the way."""

    def __init__(
        self,
        network: TunedNetwork,
        examples: Examples,
        settings: Settings,
        kept: FrozenStates | None,
        steps: int,
    ) -> None:
        self.network, self.examples, self.settings, self.kept = network, examples, settings, kept
        self.steps, self.done, self.loss = steps, 0, 0.0
        self.began = 0  # the step at which the optimiser did
        self.optimizer = self._optimizer()
        self.memory = PeakMemory(network, self.optimizer, network.device)

    def _optimizer(self) -> torch.optim.Optimizer:
        rate = self.settings.learning_rate
        groups: list[dict[str, Any]] = self.network.handle.groups(rate)
        head = {"params": self.network.head.parameters(), "lr": rate * self.settings.head_rate}
        optimizer = torch.optim.AdamW(
            [*groups, head], weight_decay=self.settings.weight_decay, fused=True
        )
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
        return optimizer

    def step(self, index: list[int], epoch: int) -> None:
        handle = self.network.handle
        if handle.advance(self.done / self.steps, self.loss):
            self.optimizer, self.began = self._optimizer(), self.done
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self._share()
        self.optimizer.zero_grad()
        self.loss = self._accumulate(index)
        if not math.isfinite(self.loss):
            raise self._diverged(epoch)
        handle.after_backward(lambda: self._loss(index[:MICRO_BATCH]))
        nn.utils.clip_grad_norm_(
            [p for group in self.optimizer.param_groups for p in group["params"]], CLIP
        )
        self.optimizer.step()
        self.done += 1

    def check_finite(self, epoch: int) -> None:
        """Raise where the last step has ruined the weights: no loss has told so."""
        groups = self.optimizer.param_groups
        if not all(bool(p.isfinite().all()) for group in groups for p in group["params"]):
            raise self._diverged(epoch)

    def _diverged(self, epoch: int) -> EvaluationError:
        return EvaluationError(
            f"the training diverged in epoch {epoch}: a learning rate below "
            f"{self.settings.learning_rate:.3g} may help"
        )

    def _accumulate(self, index: list[int]) -> float:
        """Gradients of a batch, part by part; the batch's mean loss."""
        total = 0.0
        for start in range(0, len(index), MICRO_BATCH):
            part = index[start : start + MICRO_BATCH]
            with self.memory.watch() if self.done == start == 0 else nullcontext():
                loss = self._loss(part)
                penalty = self.network.handle.regularise()
            share = len(part) / len(index)
            whole = loss if penalty is None else loss + penalty
            (share * whole).backward()  # type: ignore[no-untyped-call]
            total += share * loss.item()
        return total

    def _loss(self, index: list[int]) -> Tensor:
        logits = one_batch(self.network, self.examples, index, self.kept)
        labels = self.examples.labels[index].to(logits.device)
        return functional.cross_entropy(logits.float(), labels)

    def _share(self) -> float:
        """Of the peak learning rate."""
        done, steps = self.done - self.began, self.steps - self.began
        warm = max(1, round(WARM_UP * steps))
        if done < warm:
            return (done + 1) / warm
        return (steps - done) / max(steps - warm, 1)


def score(
    network: TunedNetwork, examples: Examples, kept: FrozenStates | None = None
) -> tuple[float, float]:
    """(accuracy, loss)."""
    logits = logits_of(network, examples, kept)
    accuracy = float((logits.argmax(dim=1) == examples.labels).float().mean())
    return accuracy, float(functional.cross_entropy(logits, examples.labels))
