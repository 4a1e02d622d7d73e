"""Batches of texts of like lengths, and the features of a frozen backbone, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..peft.handle import Handle, Inputs
from .backbones import Backbone
from .tasks import Texts

BUCKET = 16
"""Batches are cut from so many batches' worth of texts, sorted by length: little padding, and
still random."""

SCORING_BATCH = 64
STATES_LIMIT = 512 * 2**20
"""Bytes of hidden states that are kept for side networks; above that they are computed anew."""


@dataclass(frozen=True)
class Tokens:
    """Texts as token ids.

    Attributes:
        rows: Ids of each text.
        labels: ``[n]`` int64.
        pairs: Whether each is a pair.
    """

    rows: list[list[int]]
    labels: Tensor
    pairs: bool

    @classmethod
    def of(cls, texts: Texts, backbone: Backbone, length: int) -> Tokens:
        """Texts, tokenised and cut."""
        rows = backbone.encode(texts, length)
        return cls(rows, torch.from_numpy(texts.labels), texts.second is not None)

    def __len__(self) -> int:
        return len(self.rows)

    def inputs(self, index: Sequence[int], backbone: Backbone, device: torch.device) -> Inputs:
        """The texts at an index as the backbone takes them."""
        batch = backbone.batch([self.rows[i] for i in index], self.pairs)
        return {name: value.to(device) for name, value in batch.items()}


def random_batches(tokens: Tokens, size: int, generator: torch.Generator) -> list[list[int]]:
    """All texts once, in batches of like lengths, in random order."""
    order = torch.randperm(len(tokens), generator=generator).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), BUCKET * size):
        bucket = sorted(order[start : start + BUCKET * size], key=lambda i: len(tokens.rows[i]))
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[i] for i in shuffled]


def sorted_batches(tokens: Tokens, size: int = SCORING_BATCH) -> Iterator[list[int]]:
    """All texts once, by length; the same each time."""
    order = sorted(range(len(tokens)), key=lambda i: (len(tokens.rows[i]), i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.no_grad()
def pooled_features(handle: Handle, tokens: Tokens, backbone: Backbone) -> Tensor:
    """The features of all texts ``[n, width]``, by an attached method."""
    device = next(backbone.model.parameters()).device
    found: list[Tensor] = [torch.empty(0)] * len(tokens)
    for index in sorted_batches(tokens):
        features = handle.features(tokens.inputs(index, backbone, device)).float().cpu()
        for i, feature in zip(index, features, strict=True):
            found[i] = feature
    return torch.stack(found)


class FrozenStates:
    """All hidden states of a frozen backbone for some texts: what side networks read.

    Args:
        handle: Any method whose readout needs all states and that leaves the backbone as it is.
        tokens: The texts.
        backbone: The backbone.
    """

    def __init__(self, handle: Handle, tokens: Tokens, backbone: Backbone) -> None:
        self.device = next(backbone.model.parameters()).device
        self._states: list[Tensor] = [torch.empty(0)] * len(tokens)
        with torch.no_grad():
            for index in sorted_batches(tokens):
                states = torch.stack(handle.states(tokens.inputs(index, backbone, self.device)))
                for place, i in enumerate(index):
                    self._states[i] = states[:, place, : len(tokens.rows[i])].clone()

    @staticmethod
    def fits(tokens: Tokens, layers: int, width: int) -> bool:
        """Whether the states of some texts may be kept."""
        return 4 * (layers + 1) * width * sum(map(len, tokens.rows)) <= STATES_LIMIT

    def batch(self, index: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """States ``L + 1`` of ``[B, S, D]`` and the mask ``[B, S]``, padded by zeros."""
        rows = [self._states[i] for i in index]
        width = max(row.shape[1] for row in rows)
        padded = [torch.nn.functional.pad(r, (0, 0, 0, width - r.shape[1])) for r in rows]
        mask = torch.tensor([[1] * r.shape[1] + [0] * (width - r.shape[1]) for r in rows])
        return list(torch.stack(padded, dim=1)), mask.to(self.device)
