"""Adapters: bottlenecks, serial or parallel, whose projections may be shared by all layers.

Houlsby et al. (ICML 2019), He et al., *Towards a Unified View* (ICLR 2022), Sung et al.,
*VL-Adapter* (CVPR 2022: shared projections).
"""

from __future__ import annotations

from torch import nn

from ..bottleneck import Bottleneck, attach_bottlenecks, down_projection, up_projection
from ..handle import Handle, Site
from ..method import ADAPTER_RATES, DROPOUT, Default, Method, one_of, size


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


METHOD = Method(
    "adapter",
    adapter,
    ranges={
        "bottleneck": size(8, 256),
        "place": one_of("ffn", "attention", "both"),
        "form": one_of("parallel", "serial"),
        "activation": one_of("relu", "gelu"),
        "scale": one_of(1.0, 2.0, 4.0),
        "share": one_of("none", "down", "both"),
        **DROPOUT,
    },
    rates=ADAPTER_RATES,
    searched=True,
    default=Default(
        {
            "bottleneck": 192,
            "place": "ffn",
            "form": "parallel",
            "activation": "relu",
            "scale": 4.0,
            "share": "none",
            "dropout": 0.0,
        },
        learning_rate=1e-3,
    ),
    free=frozenset({"scale"}),
    cheap_last=frozenset({"share"}),
)
