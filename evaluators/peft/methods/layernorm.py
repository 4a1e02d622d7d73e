"""Normalisations alone: their scales and shifts."""

from __future__ import annotations

from ..handle import Handle, Site
from ..method import BIAS_RATES, Method
from ..weights import tune


def layernorm(site: Site) -> Handle:
    """Scales and shifts of the normalisations in and after the blocks."""
    norms = tuple(f"{path}." for layer in site.layers for path in layer.norms)
    after = tuple(f"{n}." for n in site.arch.norms if "embed" not in n.lower())
    return tune(site, lambda name: name.startswith(norms + after))


METHOD = Method("layernorm", layernorm, ranges={}, rates=BIAS_RATES, merges=True)
