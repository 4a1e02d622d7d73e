"""Texts as token ids: what a backbone of texts is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...common.errors import DataError
from ..peft.handle import Inputs
from .backbones import Backbone
from .tasks import Texts


@dataclass(frozen=True)
class Tokens:
    """Texts as token ids; see `bequest.evaluators.finetuning.batches.Examples`.

    Attributes:
        rows: Ids of each text.
        labels: ``[n]`` int64.
        pairs: Whether each is a pair.
        backbone: Whose ids they are.
    """

    rows: list[list[int]]
    labels: Tensor
    pairs: bool
    backbone: Backbone

    @classmethod
    def of(cls, texts: Texts, backbone: Backbone, length: int) -> Tokens:
        """Texts, tokenised and cut.

        Raises:
            DataError: The tokenizer finds nothing in one.
        """
        rows = backbone.encode(texts, length)
        empty = next((i for i, row in enumerate(rows) if not len(row)), None)
        if empty is not None:
            raise DataError(
                f"the tokenizer finds no token in text {empty} ({texts.first[empty]!r}): leave it "
                "out"
            )
        return cls(rows, torch.from_numpy(texts.labels), texts.second is not None, backbone)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text."""
        return [len(row) for row in self.rows]

    def inputs(self, index: Sequence[int], device: torch.device) -> Inputs:
        """The texts at an index as the backbone takes them."""
        batch = self.backbone.batch([self.rows[i] for i in index], self.pairs)
        return {name: value.to(device) for name, value in batch.items()}
