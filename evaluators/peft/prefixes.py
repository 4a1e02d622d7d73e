"""Learned keys and values before each block's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .attention import Attention, AttentionHook, heads_of, prefixed
from .handle import Site
from .hooks import Hooks


def attach_prefixes(site: Site, hooks: Hooks, length: int) -> nn.ModuleList:
    """A new prefix in each block."""
    prefixes = nn.ModuleList()
    for layer in site.layers:
        prefix = nn.ParameterList(
            [nn.Parameter(0.02 * torch.randn(length, site.arch.inner)) for _ in ("key", "value")]
        )
        prefixes.append(prefix)
        hooks.attention(layer, with_prefix(prefix, site.arch.heads))
    return prefixes


def with_prefix(prefix: nn.ParameterList, heads: int) -> AttentionHook:
    """Attention with a prefix (key, value), each ``[m, heads * d]``."""

    def hook(attention: Attention, go_on: Callable[[Attention], Tensor]) -> Tensor:
        key, value = (heads_of(p, heads) for p in prefix)
        return go_on(prefixed(attention, key, value))

    return hook
