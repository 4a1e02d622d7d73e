"""How trainings run: one thread, streams of their own, a clear word where memory is short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..common.errors import EvaluationError
from ..common.threads import one_thread
from .seeding import seeded


@dataclass(frozen=True)
class Training:
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


@contextmanager
def trainable(device: torch.device, seed: int) -> Iterator[None]:
    """One thread, streams of its own, and a clear word where memory does not suffice."""
    try:
        with one_thread(device.type), seeded(seed, device):
            yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise EvaluationError(f"out of memory on {device}: a smaller width may help") from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise EvaluationError(f"out of memory on {device}: a smaller width may help") from error
