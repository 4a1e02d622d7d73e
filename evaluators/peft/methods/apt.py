"""APT: prompts diffuse into tokens beside attention, ``h + a softmax(q P_k^T) P_v``.

Wu et al., *Approximated Prompt Tuning for Vision-Language Pre-trained Models* (2023). Keys and
values of the prompts are low-rank projections, so no sequence grows longer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attention import Attention, AttentionHook, heads_of
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import ADAPTER_RATES, Method, one_of, size


class LowRankPrompts(nn.Module):
    """m prompts of rank r; their values begin at 0."""

    def __init__(self, length: int, rank: int, inner: int) -> None:
        super().__init__()
        self.prompts = nn.Parameter(torch.randn(length, rank) / rank**0.5)
        self.to_key = nn.Parameter(torch.randn(rank, inner) / rank**0.5)
        self.to_value = nn.Parameter(torch.zeros(rank, inner))

    def forward(self) -> tuple[Tensor, Tensor]:
        """Keys and values ``[m, inner]``."""
        return self.prompts @ self.to_key, self.prompts @ self.to_value


def apt(site: Site, *, length: int = 16, rank: int = 8, scale: float = 1.0) -> Handle:
    """Prompts in each block.

    Args:
        site: Where.
        length: m, prompts a block.
        rank: r.
        scale: a.
    """
    hooks = Hooks(site.model, site.arch)
    prompts = nn.ModuleList()
    for layer in site.layers:
        prompts.append(of_block := LowRankPrompts(length, rank, site.arch.inner))
        hooks.attention(layer, _diffusing(of_block, site.arch.heads, scale))
    return Handle(site, prompts, hooks=hooks)


def _diffusing(prompts: LowRankPrompts, heads: int, scale: float) -> AttentionHook:
    def hook(attention: Attention, go_on: Callable[[Attention], Tensor]) -> Tensor:
        key, value = (heads_of(x, heads) for x in prompts())
        scores = (attention.scale * attention.query) @ key.transpose(-1, -2)
        return go_on(attention) + scale * (scores.softmax(dim=-1) @ value)

    return hook


METHOD = Method(
    "apt",
    apt,
    ranges={"length": size(2, 64), "rank": size(2, 32), "scale": one_of(0.5, 1.0, 2.0)},
    rates=ADAPTER_RATES,
    free=frozenset({"scale"}),
)
