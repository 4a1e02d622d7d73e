"""Bottleneck adapters, serial or parallel, with shared projections, or Kronecker products.

Houlsby et al. (ICML 2019), He et al., *Towards a Unified View* (ICLR 2022), Sung et al.,
*VL-Adapter* (CVPR 2022: shared projections), Karimi Mahabadi et al., *Compacter* (NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ....common.errors import ConfigurationError
from ..handle import Handle, Site
from ..hooks import Hooks, Rewrite
from .bottleneck import Bottleneck, KroneckerLinear, down_projection, up_projection

PLACES = {"attention": ("attention",), "ffn": ("ffn",), "both": ("attention", "ffn")}


def adapter(
    site: Site,
    *,
    bottleneck: int = 64,
    place: str = "ffn",
    form: str = "parallel",
    activation: str = "relu",
    scale: float = 1.0,
    share: str = "none",
    dropout: float = 0.0,
) -> Handle:
    """``h + s * U f(D h)`` beside or after sublayers.

    Args:
        site: Where.
        bottleneck: b, the inner width.
        place: ``"attention"``, ``"ffn"`` or ``"both"``.
        form: ``"parallel"`` (h is the sublayer's input) or ``"serial"`` (its output).
        activation: f: ``"relu"``, ``"gelu"`` or ``"silu"``.
        scale: s.
        share: Which projection all layers share: ``"none"``, ``"down"``, ``"up"`` or ``"both"``.
        dropout: On the inner values.
    """
    width = site.width
    common: dict[str, nn.Module] = {
        "down": down_projection(width, bottleneck),
        "up": up_projection(bottleneck, width),
    }
    shared = {"none": (), "down": ("down",), "up": ("up",), "both": ("down", "up")}[share]

    def make() -> Bottleneck:
        down = common["down"] if "down" in shared else down_projection(width, bottleneck)
        up = common["up"] if "up" in shared else up_projection(bottleneck, width)
        return Bottleneck(down, up, activation=activation, scale=scale, dropout=dropout)

    return attach_bottlenecks(site, make, place, form)


def compacter(
    site: Site,
    *,
    bottleneck: int = 32,
    phm: int = 4,
    rank: int = 1,
    place: str = "both",
    activation: str = "gelu",
    dropout: float = 0.0,
) -> Handle:
    """Serial adapters whose projections are sums of Kronecker products.

    Args:
        site: Where.
        bottleneck: b.
        phm: n, how many products; it divides b and the hidden size.
        rank: Of the products' second factors.
        place: ``"attention"``, ``"ffn"`` or ``"both"``.
        activation: f.
        dropout: On the inner values.
    """
    if site.width % phm or bottleneck % phm:
        raise ConfigurationError(
            f"phm is {phm}: it must divide the bottleneck ({bottleneck}) and the hidden size "
            f"({site.width})"
        )
    rules = [nn.Parameter(torch.randn(phm, phm, phm) / phm) for _ in range(2)]

    def make() -> Bottleneck:
        down = KroneckerLinear(site.width, bottleneck, rules[0], rank=rank)
        up = KroneckerLinear(bottleneck, site.width, rules[1], rank=rank, zero=True)
        return Bottleneck(down, up, activation=activation, dropout=dropout)

    return attach_bottlenecks(site, make, place, "serial")


def attach_bottlenecks(site: Site, make: Callable[[], Bottleneck], place: str, form: str) -> Handle:
    """Put a new bottleneck at each place of each layer."""
    hooks = Hooks(site.model, site.arch)
    own = nn.ModuleList()
    for layer in site.layers:
        for where in PLACES[place]:
            own.append(made := make())
            hooks.sublayer(layer, where, adapted(made, form))
    return Handle(site, own, hooks=hooks)


def adapted(module: nn.Module, form: str) -> Rewrite:
    """How an adapter changes a sublayer's output."""

    def rewrite(x: Tensor, output: Tensor) -> Tensor:
        change: Tensor = module(x if form == "parallel" else output)
        return output + change

    return rewrite
