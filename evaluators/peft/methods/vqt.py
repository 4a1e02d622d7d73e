"""VQT: query-only tokens in each layer; they read, and nothing reads them.

Tu et al., *Visual Query Tuning* (CVPR 2023): ``Attn(P_l W_q, K_l, V_l)``. The features of the
backbone stay intact, so nothing is kept for a backward pass but what the queries themselves need.
The head sees all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ....common.errors import ArchitectureError
from ..arch import is_linear
from ..attention import Attention, AttentionHook, heads_of, joined
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import SIDE_RATES, Method, one_of, size
from ..readout import Readout

INTERLEAVED = "query_key_value"
"""Fused projections of this name (GPT-NeoX, BLOOM, Falcon) go by head, not by role."""


class Queries(Readout):
    """The pooled last state and, beside it, what each layer's queries read."""

    def __init__(self, site: Site, tokens: int, aggregation: str) -> None:
        super().__init__(site.arch)
        count = len(site.layers)
        self.aggregation = aggregation
        self.prompts = nn.Parameter(0.5 * torch.randn(count, tokens, site.width))
        each = 1 if aggregation == "mean" else tokens
        self.width = site.width + count * each * site.arch.inner
        self.read: list[Tensor] = []

    def forward(self, states: list[Tensor], mask: Tensor | None) -> Tensor:
        """``[B, D + layers * D]``, or with ``"concat"`` ``[B, D + layers * T * D]``."""
        pooled = super().forward(states, mask)
        parts = [x.mean(1) if self.aggregation == "mean" else x.flatten(1) for x in self.read]
        self.read.clear()
        return torch.cat([pooled, *parts], dim=1)


def vqt(site: Site, *, tokens: int = 4, aggregation: str = "mean") -> Handle:
    """Queries in each block.

    Args:
        site: Where.
        tokens: T, queries a block.
        aggregation: ``"mean"`` over a block's queries, or ``"concat"``.

    Raises:
        ArchitectureError: Queries, keys and values are interleaved in one projection.
    """
    if (site.layers[0].fused or "").endswith(INTERLEAVED):
        raise ArchitectureError(
            f"the projection {site.layers[0].fused!r} mixes queries, keys and values head by head, "
            "which vqt cannot take apart: use 'lst' or 'prefix' instead"
        )
    hooks = Hooks(site.model, site.arch)
    readout = Queries(site, tokens, aggregation)
    for index, layer in enumerate(site.layers):
        projection = site.model.get_submodule(layer.entry)
        hooks.attention(layer, _asking(readout, index, projection, site.arch.heads))
    return Handle(site, hooks=hooks, readout=readout)


def _asking(readout: Queries, index: int, projection: nn.Module, heads: int) -> AttentionHook:
    assert is_linear(projection)

    def hook(attention: Attention, go_on: Callable[[Attention], Tensor]) -> Tensor:
        batch, _, _, inner = attention.query.shape
        query = projection(readout.prompts[index].clone()[None])[..., : heads * inner]
        query = heads_of(query, heads).expand(batch, -1, -1, -1)
        bias = attention.bias
        if bias is not None:  # queries stand after the text: they see all that the last token sees
            bias = bias[:, :, -1:].expand(-1, -1, query.shape[2], -1)
        asked = replace(attention, query=query, bias=bias)
        readout.read.append(joined(asked.attend()))
        return go_on(attention)

    return hook


METHOD = Method(
    "vqt",
    vqt,
    ranges={"tokens": size(1, 16), "aggregation": one_of("mean", "concat")},
    rates=SIDE_RATES,
    searched=True,
)
