"""The low-rank change that LoRA and others are built from."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """``s * B A x``; B begins at 0.

    Args:
        inputs, outputs: Sizes.
        rank: r.
        scale: s.
        dropout: On x.
    """

    def __init__(
        self, inputs: int, outputs: int, rank: int, *, scale: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        inner = nn.functional.linear(self.dropout(x), self.a) * self.scale
        return nn.functional.linear(inner, self.b)

    def weight(self) -> Tensor:
        """``s * B A`` ``[outputs, inputs]``."""
        return self.scale * self.b @ self.a
