"""Run a one-shot search over its epochs; a stopped one resumes, bit for bit on a CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....common.errors import EvaluationError
from ....common.threads import one_thread
from ....evaluators.checkpoint import load_checkpoint, save_checkpoint
from ....evaluators.seeding import seeded
from ....evaluators.supernet import Supernet
from ....spaces import Config
from .collapse import Collapse, diagnose, rises
from .hessian import largest_eigenvalue
from .removal import removal_strengths
from .settings import OneShotSettings

LATE = 5
"""The architectures of so many last epochs are candidates, too: late alphas still wander."""


@dataclass(frozen=True)
class Epoch:
    """The state of a search after one epoch.

    Attributes:
        epoch: From 1.
        train_loss, validation_loss: Means over the epoch; none for validation while DARTS warms up.
        alphas: ``[options]`` by decision.
        entropy: Of the gates, a mean over decisions, 1 where all options are alike.
        eigenvalue: See `hessian`.
        config: The architecture of the largest alphas.
        seconds: CPU time.
    """

    epoch: int
    train_loss: float
    validation_loss: float | None
    alphas: dict[str, list[float]]
    entropy: float
    eigenvalue: float | None
    config: Config
    seconds: float


@dataclass(frozen=True)
class Candidate:
    """An architecture to be trained from scratch.

    Attributes:
        config: A point of the space.
        origin: Why it is one: ``largest alpha``, ``operation removal`` or ``epoch N``.
    """

    config: Config
    origin: str


class SupernetSearch:
    """One search of a supernet.

    Args:
        supernet: What is searched.
        settings: How.
        seed: Of weights, alphas and whatever a network draws.
        checkpoint: A file that is written after each epoch, and read where it is there.

    Attributes:
        epochs: The state after each epoch so far.

    Raises:
        StudyError: The checkpoint is of another search, or cannot be read.
    """

    def __init__(
        self,
        supernet: Supernet,
        settings: OneShotSettings,
        *,
        seed: int,
        checkpoint: Path | None = None,
    ) -> None:
        self.supernet = supernet
        self.settings = settings
        self.seed = seed
        self.checkpoint = checkpoint
        self.epochs: list[Epoch] = []
        self.optimiser = settings.make_optimiser(supernet, *supernet.start(seed))
        if checkpoint is not None and checkpoint.exists():
            self._load(checkpoint)

    # Running ------------------------------------------------------------------------------------

    def run(
        self, after_epoch: Callable[[], object] = lambda: None, epochs: int | None = None
    ) -> list[Epoch]:
        """Run the epochs that are missing.

        Args:
            after_epoch: Called after each.
            epochs: Stop when there are so many, to go on another time.

        Raises:
            EvaluationError: A loss is not finite.
        """
        last = self.settings.epochs if epochs is None else min(epochs, self.settings.epochs)
        device = self.optimiser.w.device
        while len(self.epochs) < last and not self._stopped():
            # A network's random draws (dropout) depend on the epoch, not on what ran before.
            with one_thread(device.type), seeded(self.seed * 1000 + len(self.epochs), device):
                self.epochs.append(self._epoch(len(self.epochs)))
            if self.checkpoint is not None:
                self._save(self.checkpoint)
            after_epoch()
        return self.epochs

    def _stopped(self) -> bool:
        stops = self.settings.regularisation.stop_by_eigenvalue
        return stops and rises(self._eigenvalues()) is not None

    def _epoch(self, number: int) -> Epoch:
        settings, optimiser, supernet = self.settings, self.optimiser, self.supernet
        started = time.process_time()
        share = number / settings.epochs
        supernet.set_progress(share)
        span = settings.optimiser.weights - settings.final_rate
        optimiser.set_rate(settings.final_rate + span * (1 + math.cos(math.pi * share)) / 2)
        moves = number >= settings.regularisation.warmup
        train, validation = [], []
        for batches in supernet.halves.batches(number):
            losses = optimiser.step(*batches, move_alpha=moves)
            train.append(losses.train)
            if losses.validation is not None:
                validation.append(losses.validation)
        if not np.isfinite(train + validation).all():
            raise EvaluationError(
                f"the one-shot search diverged in epoch {number + 1}: a learning rate of the "
                f"weights below {settings.optimiser.weights:.3g} may help"
            )
        alpha = optimiser.alpha.detach()
        strengths = supernet.strengths(alpha)
        return Epoch(
            epoch=number + 1,
            train_loss=float(np.mean(train)),
            validation_loss=float(np.mean(validation)) if validation else None,
            alphas=supernet.by_decision(alpha),
            entropy=_entropy(strengths),
            eigenvalue=self._eigenvalue() if settings.eigenvalues else None,
            config=next(supernet.relaxation.ranked(strengths, settings.regularisation.max_skips)),
            seconds=time.process_time() - started,
        )

    def _eigenvalue(self) -> float:
        batch = self.supernet.halves.judging()[0]
        optimiser = self.optimiser
        with self.supernet.still():
            return largest_eigenvalue(self.supernet, optimiser.judged, optimiser.alpha, batch)

    def _eigenvalues(self) -> list[float]:
        return [e.eigenvalue for e in self.epochs if e.eigenvalue is not None]

    # Results -----------------------------------------------------------------------------

    @property
    def chosen(self) -> Epoch:
        """The epoch whose alphas count: the last, or that before the eigenvalue rose."""
        back = (
            rises(self._eigenvalues()) if self.settings.regularisation.stop_by_eigenvalue else None
        )
        return self.epochs[-1 if back is None else back]

    @property
    def collapse(self) -> Collapse:
        """What the detector says of the architecture of the largest alphas."""
        return diagnose(self.supernet.relaxation, self.chosen.config, self._eigenvalues())

    def candidates(self, count: int) -> list[Candidate]:
        """Different architectures, most promising first.

        The largest alpha's; then by turns the next best by operation removal and those that the
        largest alphas of the last epochs named.
        """
        chosen = self.chosen
        candidates = [Candidate(chosen.config, "largest alpha")]
        late = [e for e in self.epochs[: chosen.epoch - 1][::-1] if e.epoch > chosen.epoch - LATE]
        recent = iter([Candidate(e.config, f"epoch {e.epoch}") for e in late])
        with one_thread(self.optimiser.w.device.type):
            removal = removal_strengths(self.supernet, self.optimiser.judged, self._alpha(chosen))
        ranked = self.supernet.relaxation.ranked(removal, self.settings.regularisation.max_skips)
        removed = (Candidate(config, "operation removal") for config in ranked)
        while len(candidates) < count:
            offered = [c for c in (next(removed, None), next(recent, None)) if c is not None]
            if not offered:
                break
            for candidate in offered:
                if all(candidate.config != earlier.config for earlier in candidates):
                    candidates.append(candidate)
        return candidates[:count]

    def _alpha(self, epoch: Epoch) -> torch.Tensor:
        flat = [value for values in epoch.alphas.values() for value in values]
        return torch.tensor(flat).to(self.optimiser.alpha)

    # Stopping and going on ----------------------------------------------------------------------

    def _save(self, path: Path) -> None:
        epochs = [asdict(epoch) for epoch in self.epochs]
        save_checkpoint(path, self._identity(), {"epochs": epochs, "state": self.optimiser.state()})

    def _load(self, path: Path) -> None:
        saved = load_checkpoint(path, self._identity(), self.optimiser.w.device)
        self.epochs = [Epoch(**epoch) for epoch in saved["epochs"]]
        self.optimiser.load(saved["state"])

    def _identity(self) -> dict[str, Any]:
        """What two searches must share to be one."""
        return {
            "settings": self.settings.stored(),
            "seed": self.seed,
            "space": self.supernet.relaxation.space.hash,
            "weights": self.optimiser.w.numel(),
        }


def _entropy(strengths: dict[str, np.ndarray]) -> float:
    """The mean entropy of decisions, each relative to that of equal options."""
    entropies = []
    for logs in strengths.values():
        if len(logs) > 1:
            p = np.exp(logs - np.logaddexp.reduce(logs))
            entropies.append(-(p * np.log(np.maximum(p, 1e-300))).sum() / np.log(len(p)))
    return float(np.mean(entropies))
