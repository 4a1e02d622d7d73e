"""p-Adapter: attention weights renormalised by feature differences, then a bottleneck.

Wu et al., *p-Laplacian Adaptation for Generative Pre-trained Vision-Language Models* (AAAI 2024):
attention is a graph from queries to values; one step of p-Laplacian message passing on it, ``w_ij
<- a_ij |o_i - v_j|^(p - 2)``, lets heterophilous neighbours count (p < 2 smooths less across).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn

from ..attention import Attention, AttentionHook, heads_of, joined
from ..bottleneck import Bottleneck, down_projection, up_projection
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import ADAPTER_RATES, Method, size

SMALL = 1e-3
"""Added to differences: their power is negative where p < 2."""


def p_adapter(
    site: Site,
    *,
    p: float = 1.5,
    bottleneck: int = 64,
    mu: float = 1.0,
    dropout: float = 0.0,
) -> Handle:
    """p-Laplacian message passing and a bottleneck in each block's attention.

    Args:
        site: Where.
        p: Of the p-Laplacian; 2 is plain attention.
        bottleneck: b, the inner width.
        mu: How much of the plain output is kept: ``2 mu / p`` against 1.
        dropout: On the inner values.
    """
    hooks = Hooks(site.model, site.arch)
    adapters = nn.ModuleList()
    for layer in site.layers:
        adapter = Bottleneck(
            down_projection(site.arch.inner, bottleneck),
            up_projection(bottleneck, site.arch.inner),
            dropout=dropout,
        )
        adapters.append(adapter)
        hooks.attention(layer, _passing(adapter, p, mu))
    return Handle(site, adapters, hooks=hooks)


def _passing(adapter: Bottleneck, p: float, mu: float) -> AttentionHook:
    def hook(attention: Attention, go_on: Callable[[Attention], Tensor]) -> Tensor:
        output = go_on(attention)
        smooth = p_laplacian(attention.weights(), output, attention.value, p, mu)
        change = adapter(joined(smooth))
        return output + heads_of(change, output.shape[1])

    return hook


def p_laplacian(weights: Tensor, output: Tensor, value: Tensor, p: float, mu: float) -> Tensor:
    """One step of message passing.

    Args:
        weights: Attention weights ``[B, heads, S, S]``.
        output, value: ``[B, heads, S, d]``.
        p: Of the p-Laplacian.
        mu: How much of ``output`` is kept.

    Returns:
        ``[B, heads, S, d]``; with p = 2 and ``output = weights @ value``, the output itself.
    """
    changed = weights * (_distances(output, value) + SMALL) ** (p - 2)
    changed = changed / changed.sum(dim=-1, keepdim=True)
    keep = 2 * mu / p
    return (changed @ value + keep * output) / (1 + keep)


def _distances(left: Tensor, right: Tensor) -> Tensor:
    """``[..., S, S]``, always by differences: what is kept for the backward pass stays the same."""
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")


METHOD = Method(
    "p-adapter",
    p_adapter,
    ranges={
        "p": FloatDistribution(1.0, 3.0),
        "bottleneck": size(8, 256),
        "mu": FloatDistribution(0.1, 10.0, log=True),
    },
    rates=ADAPTER_RATES,
    free=frozenset({"p", "mu"}),
)
