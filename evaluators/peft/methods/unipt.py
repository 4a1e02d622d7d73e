"""UniPT: each layer's states attend, in parallel, with the last layer's as the query.

Diao et al., *UniPT: Universal Parallel Tuning for Transfer Learning with Efficient Parameter and
Memory* (CVPR 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..bottleneck import up_projection
from ..handle import Handle, Site
from ..method import SIDE_RATES, Method, one_of
from ..readout import Readout, pool


class Parallel(Readout):
    """Layer-wise attention to the last states, summed by confidence."""

    needs_states = True

    def __init__(self, site: Site, reduction: int, gate: str) -> None:
        super().__init__(site.arch)
        inner = max(site.width // reduction, 4)
        count = len(site.layers)
        self.lowest, self.gate = site.lowest, gate
        self.query = nn.Linear(site.width, inner)
        self.downs = nn.ModuleList(nn.Linear(site.width, inner) for _ in range(count))
        self.confidence = nn.Linear(inner, 1)
        self.up = up_projection(inner, site.width)

    def forward(self, states: list[Tensor], mask: Tensor | None) -> Tensor:
        """``[B, D]``."""
        last = states[-1].detach()
        query = self.query(last)
        hidden = None if mask is None else ~mask[:, None, :].bool()
        pooled = []
        for down, state in zip(self.downs, states[self.lowest + 1 :], strict=True):
            keys = down(state.detach())
            scores = query @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
            if hidden is not None:
                scores = scores.masked_fill(hidden, float("-inf"))
            pooled.append(pool(scores.softmax(-1) @ keys + query, mask))
        layers = torch.stack(pooled, dim=1)  # [B, layers, inner]
        confidence = self.confidence(layers)
        weights = confidence.softmax(1) if self.gate == "softmax" else confidence.sigmoid()
        summed = (weights * layers).sum(dim=1)
        return pool(last, mask, class_token=self.class_token) + torch.as_tensor(self.up(summed))


def unipt(site: Site, *, reduction: int = 4, gate: str = "softmax") -> Handle:
    """A parallel network on the states of all layers.

    Args:
        site: Where; states of blocks below ``layer_lo`` are left out.
        reduction: The inner width is the hidden size divided by this.
        gate: How confidences weigh layers: ``"softmax"`` or ``"sigmoid"``.
    """
    return Handle(site, readout=Parallel(site, reduction, gate))


METHOD = Method(
    "unipt",
    unipt,
    ranges={"reduction": one_of(2, 4, 8, 16), "gate": one_of("softmax", "sigmoid")},
    rates=SIDE_RATES,
    searched=True,
    cheap_last=frozenset({"reduction"}),
)
