"""Seeds the random streams of a block of code, and restores them after it."""

from __future__ import annotations

import random

import numpy as np
import torch


class seeded:
    """Seed torch, NumPy and Python inside a block; outside, nothing has happened.

    PyTorch Geometric draws from the global streams of all three.

    Args:
        seed: Where the streams start.
        device: A GPU whose stream is meant, too.
    """

    def __init__(self, seed: int, device: torch.device | None = None) -> None:
        self.seed = seed
        self.gpu = device if device is not None and device.type == "cuda" else None

    def __enter__(self) -> None:
        self._torch, self._numpy = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()
        self._gpu = torch.cuda.get_rng_state(self.gpu) if self.gpu else None
        seed_torch(self.seed, self.gpu)
        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self._torch)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)
        if self._gpu is not None and self.gpu is not None:
            torch.cuda.set_rng_state(self._gpu, self.gpu)


def seed_torch(seed: int, device: torch.device | None) -> None:
    """Seed the CPU's stream, and the device's where it is a GPU; `manual_seed` would seed all."""
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
