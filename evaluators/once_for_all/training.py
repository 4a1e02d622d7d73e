"""Train a once-for-all network by progressive shrinking; it can be stopped and resumed.

Source: Cai et al., *Once-for-All*, ICLR 2020. The largest network comes first; then kernels, depths
and channels become elastic, one after another: each step trains one network that is drawn at
random, on the labels and on what the largest network, as it was when shrinking began, says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...common.errors import EvaluationError
from ...spaces.elastic import KERNELS, Geometry
from ...spaces.elastic_genes import Networks
from ..checkpoint import load_checkpoint, save_checkpoint
from ..image.tasks import Images, batches
from ..image.training import CLIP
from ..seeding import seeded
from ..training_loop import TrainingLoop, cosine
from .network import Cut, OnceForAll, channels_last

PHASES = ("largest", "kernels", "depths", "channels")
"""What becomes elastic, in this order; in the first phase nothing does."""


@dataclass(frozen=True)
class Shrinking:
    """How long each phase lasts, and how it trains; the defaults fit one CPU core.

    Attributes:
        epochs: Of each of `PHASES`.
        rates: The learning rate at which each phase begins; it falls to 0 by a cosine.
        batch_size, weight_decay: Of SGD with momentum .9.
        distillation: The weight of what the largest network says, beside the labels' weight of 1.
        images: Training and validation images together; ``None`` for all.
    """

    epochs: tuple[int, int, int, int] = (8, 3, 4, 9)
    rates: tuple[float, float, float, float] = (0.1, 0.03, 0.03, 0.05)
    batch_size: int = 64
    weight_decay: float = 1e-4
    distillation: float = 1.0
    images: int | None = 30_000

    def __post_init__(self) -> None:
        if min(self.epochs) < 0 or not self.epochs[0]:
            raise EvaluationError(
                f"shrinking has epochs {self.epochs}: the largest network needs one at least"
            )

    def place(self, epoch: int) -> tuple[int, int]:
        """(phase, epoch within it) of an epoch, both from 0."""
        for phase, epochs in enumerate(self.epochs):
            if epoch < epochs:
                return phase, epoch
            epoch -= epochs
        raise IndexError(epoch)


@dataclass(frozen=True)
class ShrinkingEpoch:
    """One epoch of a training: its phase, the mean loss, CPU seconds."""

    epoch: int
    phase: str
    loss: float
    seconds: float


class ProgressiveShrinking:
    """The training of a once-for-all network.

    Args:
        geometry: What the network is of.
        images: The training part, on the device of the training.
        classes: How many there are.
        settings: How long, how fast.
        seed: Of weights, batches and drawn networks.
        flips: Whether images may be mirrored.
        checkpoint: A file that is written after each epoch, and read where it is there.

    Attributes:
        network: The once-for-all network so far.
        epochs: The epochs so far.

    Raises:
        StudyError: The checkpoint is of another training, or cannot be read.
    """

    def __init__(
        self,
        geometry: Geometry,
        images: Images,
        classes: int,
        settings: Shrinking,
        *,
        seed: int,
        flips: bool,
        checkpoint: Path | None = None,
    ) -> None:
        self.geometry = geometry
        self.images = images
        self.settings = settings
        self.seed = seed
        self.flips = flips
        self.checkpoint = checkpoint
        device = images.x.device
        with seeded(seed, device):
            self.network = OnceForAll(geometry, images.x.shape[1], classes).to(device)
            self._teacher = OnceForAll(geometry, images.x.shape[1], classes).to(device)
        channels_last(self.network)
        channels_last(self._teacher)
        self.epochs: list[ShrinkingEpoch] = []
        self._optimizer = make_optimizer(self.network, settings)
        if checkpoint is not None and checkpoint.exists():
            self._load(checkpoint)

    @property
    def finished(self) -> bool:
        """Whether no epoch is missing."""
        return len(self.epochs) == sum(self.settings.epochs)

    def run(
        self, after_epoch: Callable[[], object] = lambda: None, epochs: int | None = None
    ) -> OnceForAll:
        """Train what is missing.

        Args:
            after_epoch: Called after each epoch.
            epochs: Stop when there are so many in all, to go on another time.

        Raises:
            EvaluationError: The loss is not finite.
        """
        last = sum(self.settings.epochs)
        last = last if epochs is None else min(epochs, last)
        while len(self.epochs) < last:
            self.epochs.append(self._epoch(len(self.epochs)))
            if self.checkpoint is not None:
                self._save(self.checkpoint)
            after_epoch()
        return self.network

    def _epoch(self, epoch: int) -> ShrinkingEpoch:
        settings, started = self.settings, time.process_time()
        phase, within = settings.place(epoch)
        if phase and not within:
            self._begin(phase)
        # All randomness depends on the epoch alone, so that a resumed training draws the same.
        generator = torch.Generator().manual_seed(self.seed * 1_000 + epoch)
        cuts = drawn(self.geometry, phase, np.random.default_rng([self.seed, epoch]))
        steps = max(1, len(self.images) // settings.batch_size)

        def set_rate(done: int) -> None:
            share = cosine(within * steps + done, settings.epochs[phase] * steps)
            for group in self._optimizer.param_groups:
                group["lr"] = settings.rates[phase] * share

        loop: TrainingLoop[Images] = TrainingLoop(
            self.network,
            self._optimizer,
            lambda batch: self._loss(batch, next(cuts), taught=phase > 0),
            rate=settings.rates[phase],
            name=f"the once-for-all network ({PHASES[phase]})",
            clip=CLIP,
            clipped=list(self.network.parameters()),
            before_step=set_rate,
        )
        images, size = self.images, settings.batch_size
        epoch_batches = batches(images, size, generator, flips=self.flips, shift=images.shift)
        loss = float(np.mean(loop.epoch(epoch + 1, epoch_batches)))
        return ShrinkingEpoch(epoch + 1, PHASES[phase], loss, time.process_time() - started)

    def _begin(self, phase: int) -> None:
        """Prepare a phase: a teacher before the second one, sorted channels before the last."""
        if all(epoch.phase == PHASES[0] for epoch in self.epochs):
            self._teacher.load_state_dict(self.network.state_dict())
        if PHASES[phase] == "channels":
            self.network.sort_channels()
            self._optimizer = make_optimizer(self.network, self.settings)  # momentum was unsorted

    def _loss(self, batch: Images, cut: Cut, *, taught: bool) -> Tensor:
        """Cross entropy with the labels and, if taught, with the teacher's probabilities."""
        x = batch.x.contiguous(memory_format=torch.channels_last)
        scores = self.network(x, cut)
        loss = functional.cross_entropy(scores, batch.y)
        if taught and self.settings.distillation:
            with torch.no_grad():
                soft_labels = self._teacher(x).softmax(1)
            loss = loss + self.settings.distillation * functional.cross_entropy(scores, soft_labels)
        return loss

    # Stopping and going on ----------------------------------------------------------------------

    def _save(self, path: Path) -> None:
        state = {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "network": self.network.state_dict(),
            "teacher": self._teacher.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        save_checkpoint(path, self._identity(), state)

    def _load(self, path: Path) -> None:
        saved = load_checkpoint(path, self._identity(), self.images.x.device)
        self.epochs = [ShrinkingEpoch(**epoch) for epoch in saved["epochs"]]
        self.network.load_state_dict(saved["network"])
        self._teacher.load_state_dict(saved["teacher"])
        self._optimizer.load_state_dict(saved["optimizer"])

    def _identity(self) -> dict[str, Any]:
        """What a training must share with the one that wrote a checkpoint to resume it."""
        return {
            "settings": asdict(self.settings),
            "geometry": asdict(self.geometry),
            "seed": self.seed,
            "images": [*self.images.x.shape],
        }


def drawn(geometry: Geometry, phase: int, rng: np.random.Generator) -> Iterator[Cut]:
    """Random architectures, in which what is elastic in a phase varies; without end."""
    widest = np.array([len(block.channels) - 1 for block in geometry.all_blocks])
    while True:
        networks = Networks.sample(geometry, 64, rng)
        if phase < PHASES.index("kernels"):
            networks.kernel[:] = len(KERNELS) - 1
        if phase < PHASES.index("depths"):
            networks.depth[:] = geometry.blocks
        if phase < PHASES.index("channels"):
            networks.channels[:] = widest
        for row in range(len(networks)):
            yield Cut.of(networks, row)


def make_optimizer(network: OnceForAll, settings: Shrinking) -> torch.optim.SGD:
    """SGD; scales, shifts and kernel transformations do not decay: at rest they are 1, 0 and I."""
    decaying: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in network.named_parameters():
        exempt = parameter.ndim == 1 or name.startswith("smaller")
        (others if exempt else decaying).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decaying, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, settings.rates[0], momentum=0.9, nesterov=True)
