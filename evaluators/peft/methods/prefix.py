"""Prefix tuning: learned keys and values before each block's own (Li and Liang, ACL 2021)."""

from __future__ import annotations

from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import PROMPT_RATES, Method, size
from ..prefixes import attach_prefixes


def prefix(site: Site, *, length: int = 10) -> Handle:
    """Keys and values that every position sees.

    Args:
        site: Where.
        length: m, how many.
    """
    hooks = Hooks(site.model, site.arch)
    prefixes = attach_prefixes(site, hooks, length)
    return Handle(site, prefixes, hooks=hooks)


METHOD = Method("prefix", prefix, ranges={"length": size(2, 64)}, rates=PROMPT_RATES, searched=True)
