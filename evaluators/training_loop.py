"""The one training loop: steps, schedule, clipping, divergence, pruning reports, the best epoch.

Graph, image and once-for-all networks and fine-tuned backbones are all trained by it; each says
what its batches, loss, optimiser and schedule are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from ..common.errors import EvaluationError
from ..common.threads import one_thread
from .cost import PeakMemory
from .seeding import seeded
from .task import Report

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class TrainingResult:
    """How a training went.

    Attributes:
        best_epoch: The epoch whose weights the network has now, from 1.
        epochs: How many were run.
        seconds: Wall time of the loop.
        peak_memory_bytes: See `cost.PeakMemory`.
    """

    best_epoch: int
    epochs: int
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Validation:
    """How a training is watched.

    Attributes:
        score: Gives (metric, loss) on the validation part; the network is in evaluation mode.
        report: Takes (epoch, metric); may raise to end the training.
        every: Epochs between two looks; the last epoch is always looked at.
        patience: Stop after so many epochs without progress, and restore the best epoch; with
            ``None`` all epochs are run and the last weights stay.
    """

    score: Callable[[], tuple[float, float]]
    report: Report | None = None
    every: int = 1
    patience: int | None = None


class TrainingLoop(Generic[BatchT]):
    """Trains a network in place.

    Args:
        network: On the device of the training.
        optimizer: May be replaced on the way, by ``before_step``.
        loss: Of a batch, or of one of its parts.
        rate: The highest learning rate, for the message where the training diverges.
        name: What is trained, for the same message.
        clip: The largest norm of a gradient; ``None`` for no bound.
        clipped: Whose gradients are clipped together; by default what the optimiser trains.
        before_step: Called before each step with the number of steps done: sets learning rates.
        split: Cuts a batch into (share, part) whose gradients are summed, so that not all of it
            has to be in memory; by default it stays whole.
        penalty: Added to the loss of each part, but not reported; may give ``None``.
        after_backward: Called with each batch when its gradients are there, before they are
            clipped.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[BatchT], Tensor],
        *,
        rate: float,
        name: str = "the training",
        clip: float | None = None,
        clipped: Sequence[nn.Parameter] | None = None,
        before_step: Callable[[int], None] = lambda done: None,
        split: Callable[[BatchT], Iterable[tuple[float, BatchT]]] = lambda batch: [(1.0, batch)],
        penalty: Callable[[], Tensor | None] = lambda: None,
        after_backward: Callable[[BatchT], None] = lambda batch: None,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.rate, self.name = rate, name
        self.clip, self.clipped = clip, clipped
        self.done = 0
        self.last_loss = 0.0
        """Of the latest step, the penalty left out."""
        self._loss, self._penalty = loss, penalty
        self._before_step, self._split, self._after_backward = before_step, split, after_backward
        self._memory: PeakMemory | None = None

    def run(
        self,
        epochs: int,
        batches: Callable[[int], Iterable[BatchT]],
        *,
        validation: Validation | None = None,
        after_epoch: Callable[[int], None] = lambda epoch: None,
    ) -> TrainingResult:
        """Train for some epochs.

        Args:
            epochs: At most so many.
            batches: Gives the batches of an epoch, counted from 1.
            validation: How the training is watched; ``None`` for not at all.
            after_epoch: Called with each epoch that is over, before the validation.

        Raises:
            EvaluationError: The loss is not finite.
        """
        self._memory = PeakMemory(
            self.network, self.optimizer, next(self.network.parameters()).device
        )
        best = None
        if validation is not None and validation.patience is not None:
            best = BestEpoch(self.network)
        started = time.perf_counter()
        epoch = 0
        for epoch in range(1, epochs + 1):
            self.epoch(epoch, batches(epoch))
            after_epoch(epoch)
            if validation is None or (epoch % validation.every and epoch != epochs):
                continue
            self.network.eval()
            with torch.no_grad():
                metric, loss = validation.score()
            if best is not None:
                best.offer(epoch, metric, loss)
            if validation.report is not None:
                validation.report(epoch, metric)
            if best is not None and epoch - best.epoch >= (validation.patience or 0):
                break
        if best is not None:
            best.restore()
        self.network.eval()
        seconds = time.perf_counter() - started
        best_epoch = epoch if best is None else best.epoch
        return TrainingResult(best_epoch, epoch, seconds, self._memory.bytes())

    def epoch(self, epoch: int, batches: Iterable[BatchT]) -> list[float]:
        """Train for one epoch; the loss of each step.

        Args:
            epoch: Its number, for the message where the loss is not finite.
            batches: Its batches.

        Raises:
            EvaluationError: The loss is not finite.
        """
        self.network.train()
        return [self._step(batch, epoch) for batch in batches]

    def _step(self, batch: BatchT, epoch: int) -> float:
        self._before_step(self.done)
        self.optimizer.zero_grad()
        self.last_loss = self._accumulate(batch)
        if not math.isfinite(self.last_loss):
            raise self.diverged(epoch)
        self._after_backward(batch)
        if self.clip is not None:
            groups = self.optimizer.param_groups
            trained = [p for group in groups for p in group["params"]]
            nn.utils.clip_grad_norm_(self.clipped or trained, self.clip)
        self.optimizer.step()
        self.done += 1
        return self.last_loss

    def _accumulate(self, batch: BatchT) -> float:
        """Gradients of a batch, part by part; its mean loss."""
        total = 0.0
        for i, (share, part) in enumerate(self._split(batch)):
            watched = self._memory if self.done == i == 0 else None
            with nullcontext() if watched is None else watched.watch():
                loss = self._loss(part)
                penalty = self._penalty()
            whole = loss if penalty is None else loss + penalty
            (share * whole).backward()  # type: ignore[no-untyped-call]
            total += share * loss.item()
        return total

    def check_weights(self, epoch: int) -> None:
        """Check that the last step has not ruined the weights, which no loss has seen yet.

        Raises:
            EvaluationError: A weight is not finite.
        """
        groups = self.optimizer.param_groups
        if not all(bool(p.isfinite().all()) for group in groups for p in group["params"]):
            raise self.diverged(epoch)

    def diverged(self, epoch: int) -> EvaluationError:
        """The error of a training whose loss is not finite."""
        return EvaluationError(
            f"{self.name} diverged in epoch {epoch}: a learning_rate below {self.rate:.3g} may help"
        )


class BestEpoch:
    """The weights of the best epoch: highest metric, then lowest loss.

    Attributes:
        epoch: Its number; 0 as long as there is none.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.epoch = 0
        self._key = (-math.inf, -math.inf)
        self._weights = deepcopy(network.state_dict())

    def offer(self, epoch: int, metric: float, loss: float) -> None:
        """Note the network's weights if the epoch is better than those before."""
        # A loss that is not finite (an exploded validation pass) never breaks a tie.
        key = (metric, -loss if math.isfinite(loss) else -math.inf)
        if key > self._key:
            self.epoch, self._key = epoch, key
            self._weights = deepcopy(self.network.state_dict())

    def restore(self) -> None:
        """Give the network the weights of the best epoch."""
        self.network.load_state_dict(self._weights)


def cosine(done: int, steps: int) -> float:
    """The share of the highest learning rate after some steps: from 1 to 0 by half a cosine."""
    return (1 + math.cos(math.pi * done / steps)) / 2


def warm_up_and_decay(done: int, steps: int, warm_up: float) -> float:
    """The share of the highest learning rate: up in a straight line, then down to 0.

    Args:
        done: Steps that are done.
        steps: All steps.
        warm_up: The share of the steps in which the rate rises.
    """
    warm = max(1, round(warm_up * steps))
    if done < warm:
        return (done + 1) / warm
    return (steps - done) / max(steps - warm, 1)


@contextmanager
def trainable(device: torch.device, seed: int) -> Iterator[None]:
    """A block with one thread and random streams of its own, in which lack of memory is explained.

    Raises:
        EvaluationError: Memory does not suffice.
    """
    try:
        with one_thread(device.type), seeded(seed, device):
            yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise EvaluationError(f"out of memory on {device}: a smaller width may help") from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise EvaluationError(f"out of memory on {device}: a smaller width may help") from error
