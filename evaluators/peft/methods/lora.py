"""LoRA: ``W x + (alpha / r) B A x`` (Hu et al., ICLR 2022), in our own hooks.

`peft` has it with many variants (method ``library``); this one agrees with it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ..arch import size
from ..handle import Handle, Site
from ..hooks import Hooks
from ..low_rank import LowRank
from ..method import CHEAPEST_WHERE, DROPOUT, LORA_RATES, WHERE, Default, Method, one_of
from ..method import size as sizes


def lora(
    site: Site, *, rank: int = 8, alpha: float = 2.0, where: str = "qv", dropout: float = 0.0
) -> Handle:
    """Low-rank changes of projections.

    Args:
        site: Where.
        rank: r.
        alpha: The scale s (`peft` calls ``alpha * r`` its ``lora_alpha``).
        where: ``"qv"``, ``"attention"``, ``"ffn"`` or ``"all"`` projections.
        dropout: On the inputs.
    """
    hooks = Hooks(site.model, site.arch)
    paths = [path for layer in site.layers for path in layer.linears(where)]
    changes = nn.ModuleList()
    for path in paths:
        shape = size(site.model.get_submodule(path))
        changes.append(low_rank := LowRank(*shape, rank, scale=alpha, dropout=dropout))
        hooks.change(path, low_rank)

    def merge() -> None:
        for path, low_rank in zip(paths, changes, strict=True):
            linear: Any = site.model.get_submodule(path)
            assert isinstance(low_rank, LowRank)
            change = low_rank.weight()
            linear.weight += change if isinstance(linear, nn.Linear) else change.T

    return Handle(site, changes, hooks=hooks, merge=merge)


METHOD = Method(
    "lora",
    lora,
    ranges={"rank": sizes(1, 64), "alpha": one_of(0.5, 1.0, 2.0, 4.0), **WHERE, **DROPOUT},
    rates=LORA_RATES,
    searched=True,
    default=Default({"rank": 8, "alpha": 2.0, "where": "qv", "dropout": 0.0}, learning_rate=2e-3),
    merges=True,
    free=frozenset({"alpha"}),
    rivals=CHEAPEST_WHERE,
)
