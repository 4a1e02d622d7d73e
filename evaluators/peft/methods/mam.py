"""MAM: a short prefix in attention and a scaled parallel adapter at the feed-forward network.

He et al., *Towards a Unified View of Parameter-Efficient Transfer Learning* (ICLR 2022), section
4.6.
"""

from __future__ import annotations

from torch import nn

from ..bottleneck import Bottleneck, adapted, down_projection, up_projection
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import ADAPTER_RATES, Method, one_of, size
from ..prefixes import attach_prefixes


def mam(
    site: Site,
    *,
    length: int = 10,
    bottleneck: int = 64,
    scale: float = 4.0,
    dropout: float = 0.0,
) -> Handle:
    """A prefix and a parallel adapter in each block.

    Args:
        site: Where.
        length: m, the prefix's length.
        bottleneck: b, the adapter's inner width.
        scale: s of the adapter.
        dropout: On the adapter's inner values.
    """
    hooks = Hooks(site.model, site.arch)
    prefixes = attach_prefixes(site, hooks, length)
    adapters = nn.ModuleList()
    for layer in site.layers:
        adapter = Bottleneck(
            down_projection(site.width, bottleneck),
            up_projection(bottleneck, site.width),
            scale=scale,
            dropout=dropout,
        )
        adapters.append(adapter)
        hooks.sublayer(layer, "ffn", adapted(adapter, "parallel"))
    modules = nn.ModuleDict({"prefixes": prefixes, "adapters": adapters})
    return Handle(site, modules, hooks=hooks)


METHOD = Method(
    "mam",
    mam,
    ranges={"length": size(2, 32), "bottleneck": size(8, 256), "scale": one_of(1.0, 2.0, 4.0)},
    rates=ADAPTER_RATES,
    searched=True,
    free=frozenset({"scale"}),
)
