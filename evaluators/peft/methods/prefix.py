"""Prefix tuning: learned keys and values before each block's own (Li and Liang, ACL 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attention import Attention, AttentionHook, heads_of, prefixed
from ..handle import Handle, Site
from ..hooks import Hooks


def prefix(site: Site, *, length: int = 10) -> Handle:
    """Keys and values that every position sees.

    Args:
        site: Where.
        length: m, how many.
    """
    hooks = Hooks(site.model, site.arch)
    own = attach_prefixes(site, hooks, length)
    return Handle(site, own, hooks=hooks)


def attach_prefixes(site: Site, hooks: Hooks, length: int) -> nn.ModuleList:
    """A new prefix in each block."""
    own = nn.ModuleList()
    for layer in site.layers:
        made = nn.ParameterList(
            [nn.Parameter(0.02 * torch.randn(length, site.arch.inner)) for _ in ("key", "value")]
        )
        own.append(made)
        hooks.attention(layer, with_prefix(made, site.arch.heads))
    return own


def with_prefix(prefix: nn.ParameterList, heads: int) -> AttentionHook:
    """Attention with a prefix (key, value), each ``[m, heads * d]``."""

    def hook(attention: Attention, go_on: Callable[[Attention], Tensor]) -> Tensor:
        key, value = (heads_of(p, heads) for p in prefix)
        return go_on(prefixed(attention, key, value))

    return hook
