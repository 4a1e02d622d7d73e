"""Batches of examples of like lengths, and the features of a frozen backbone, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..peft.handle import Handle, Inputs
from .precision import mixed_precision

BUCKET = 16
"""Batches are cut from so many batches' worth of examples, sorted by length: little padding, and
still random."""

SCORING_BATCH = 64
STATES_LIMIT = 512 * 2**20
"""Bytes of hidden states that are stored for side networks; more are computed in each pass."""


class Examples(Protocol):
    """Texts or images with their classes, as a backbone takes them."""

    @property
    def labels(self) -> Tensor:
        """``[n]`` int64."""

    @property
    def lengths(self) -> Sequence[int]:
        """How many positions each has in the backbone's hidden states, padding left out."""

    def __len__(self) -> int: ...

    def inputs(self, index: Sequence[int], device: torch.device) -> Inputs:
        """The examples at an index, as the backbone's keyword arguments."""


def random_batches(examples: Examples, size: int, generator: torch.Generator) -> list[list[int]]:
    """All examples once, in batches of like lengths, in random order."""
    order = torch.randperm(len(examples), generator=generator).tolist()
    lengths = examples.lengths
    batches: list[list[int]] = []
    for start in range(0, len(order), BUCKET * size):
        bucket = sorted(order[start : start + BUCKET * size], key=lambda i: lengths[i])
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[i] for i in shuffled]


def sorted_batches(examples: Examples, size: int = SCORING_BATCH) -> Iterator[list[int]]:
    """All examples once, by length; the same each time."""
    lengths = examples.lengths
    order = sorted(range(len(examples)), key=lambda i: (lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.no_grad()
def pooled_features(handle: Handle, examples: Examples) -> Tensor:
    """The features of all examples ``[n, width]``, by an attached method."""
    device = device_of(handle)
    rows: list[Tensor] = [torch.empty(0)] * len(examples)
    for index in sorted_batches(examples):
        with mixed_precision(device):
            features = handle.features(examples.inputs(index, device)).float().cpu()
        for i, feature in zip(index, features, strict=True):
            rows[i] = feature
    return torch.stack(rows)


def device_of(handle: Handle) -> torch.device:
    """Where a method's backbone is."""
    return next(handle.site.model.parameters()).device


class FrozenStates:
    """All hidden states of a frozen backbone for some examples: what side networks read.

    Args:
        handle: Any method whose readout needs all states and that leaves the backbone as it is.
        examples: Of which.
    """

    def __init__(self, handle: Handle, examples: Examples) -> None:
        self.device = device_of(handle)
        self.masked = False
        """Whether the backbone takes a mask: the readout gets one then, too."""
        self._states: list[Tensor] = [torch.empty(0)] * len(examples)
        lengths = examples.lengths
        with torch.no_grad():
            for index in sorted_batches(examples):
                inputs = examples.inputs(index, self.device)
                self.masked = inputs.get("attention_mask") is not None
                with mixed_precision(self.device):
                    states = torch.stack(handle.states(inputs)).float()
                for row, i in enumerate(index):
                    self._states[i] = states[:, row, : lengths[i]].clone()

    @staticmethod
    def fits(examples: Examples, layers: int, width: int) -> bool:
        """Whether the states of some examples may be stored."""
        return 4 * (layers + 1) * width * sum(examples.lengths) <= STATES_LIMIT

    def batch(self, index: Sequence[int]) -> tuple[list[Tensor], Tensor | None]:
        """States ``L + 1`` of ``[B, S, D]``, padded by zeros, and the mask ``[B, S]`` if any."""
        rows = [self._states[i] for i in index]
        width = max(row.shape[1] for row in rows)
        padded = [torch.nn.functional.pad(r, (0, 0, 0, width - r.shape[1])) for r in rows]
        states = list(torch.stack(padded, dim=1))
        if not self.masked:
            return states, None
        mask = torch.tensor([[1] * r.shape[1] + [0] * (width - r.shape[1]) for r in rows])
        return states, mask.to(self.device)
