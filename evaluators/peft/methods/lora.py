"""LoRA: ``W x + (alpha / r) B A x`` (Hu et al., ICLR 2022), in our own hooks.

`peft` has it with many variants (method ``library``); this one agrees with it and is what other
methods are built from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..arch import size
from ..handle import Handle, Site
from ..hooks import Hooks


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


def lora(
    site: Site, *, rank: int = 8, alpha: float = 2.0, where: str = "qv", dropout: float = 0.0
) -> Handle:
    """Low-rank changes of projections.

    Args:
        site: Where.
        rank: r.
        alpha: The scale s (`peft` calls ``alpha * r`` its ``lora_alpha``).
        where: ``"qv"``, ``"attention"``, ``"ffn"`` or ``"all"`` projections.
        dropout: On the inputs.
    """
    hooks = Hooks(site.model, site.arch)
    paths = [path for layer in site.layers for path in layer.linears(where)]
    own = nn.ModuleList()
    for path in paths:
        shape = size(site.model.get_submodule(path))
        own.append(low_rank := LowRank(*shape, rank, scale=alpha, dropout=dropout))
        hooks.change(path, low_rank)

    def merge() -> None:
        for path, low_rank in zip(paths, own, strict=True):
            linear: Any = site.model.get_submodule(path)
            assert isinstance(low_rank, LowRank)
            change = low_rank.weight()
            linear.weight += change if isinstance(linear, nn.Linear) else change.T

    return Handle(site, own, hooks=hooks, merge=merge)
