"""PETALface: two LoRAs, mixed by the quality of the input.

Narayan et al., *PETALface: Parameter Efficient Transfer Learning for Low-resolution Face
Recognition* (WACV 2025): ``W x + a(x) s B1 A1 x + (1 - a(x)) s B2 A2 x``. The quality score there
comes from an outside model; here a gate learns it, position by position, so that padding and the
other inputs of a batch say nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..arch import size
from ..handle import Handle, Site
from ..hooks import Hooks
from ..low_rank import LowRank
from ..method import CHEAPEST_WHERE, LORA_RATES, WHERE, Method
from ..method import size as sizes


class GatedPair(nn.Module):
    """``a(x) B1 A1 x + (1 - a(x)) B2 A2 x`` with ``a(x) = sigmoid(w x)``; w begins at 0."""

    def __init__(self, inputs: int, outputs: int, ranks: tuple[int, int], scale: float) -> None:
        super().__init__()
        self.first = LowRank(inputs, outputs, ranks[0], scale=scale)
        self.second = LowRank(inputs, outputs, ranks[1], scale=scale)
        self.gate = nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, S, inputs]`` to ``[B, S, outputs]``."""
        quality = (x @ self.gate).sigmoid()[..., None]
        change: Tensor = quality * self.first(x) + (1 - quality) * self.second(x)
        return change


def petalface(
    site: Site, *, rank: int = 8, second_rank: int = 8, alpha: float = 2.0, where: str = "qv"
) -> Handle:
    """A gated pair of low-rank changes of each projection.

    Args:
        site: Where.
        rank: Of the LoRA for inputs of high quality.
        second_rank: Of the other.
        alpha: The scale of both.
        where: Which projections, as for `lora`.
    """
    hooks = Hooks(site.model, site.arch)
    pairs = nn.ModuleList()
    for path in (path for layer in site.layers for path in layer.linears(where)):
        shape = size(site.model.get_submodule(path))
        pairs.append(pair := GatedPair(*shape, (rank, second_rank), alpha))
        hooks.change(path, pair)
    return Handle(site, pairs, hooks=hooks)


METHOD = Method(
    "petalface",
    petalface,
    ranges={"rank": sizes(1, 32), "second_rank": sizes(1, 32), **WHERE},
    rates=LORA_RATES,
    rivals=CHEAPEST_WHERE,
)
