"""SHERL: early layers, merged against redundancy, feed late layers; only those have gradients.

Diao et al., *SHERL: Synthesizing High Accuracy and Efficient Memory for Resource-Limited Transfer
Learning* (ECCV 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from optuna.distributions import IntDistribution
from torch import Tensor, nn
from torch.nn import functional

from ....common.errors import ArchitectureError
from ..bottleneck import up_projection
from ..handle import Handle, Site
from ..hooks import Hooks, first
from ..method import SIDE_RATES, Method, one_of


class Merge(nn.Module):
    """Early states, each weighed by how little it resembles the others."""

    def __init__(self, width: int, inner: int, layers: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.downs = nn.ModuleList(nn.Linear(width, inner) for _ in range(layers))
        self.up = up_projection(inner, width)

    def forward(self, states: list[Tensor]) -> Tensor:
        """``L`` states ``[B, S, D]`` to a change of the last one."""
        inner = torch.stack(
            [down(s.detach()) for down, s in zip(self.downs, states, strict=True)], dim=2
        )  # [B, S, layers, inner]
        with torch.no_grad():
            unit = functional.normalize(inner, dim=-1)
            likeness = unit @ unit.transpose(-1, -2)
            redundancy = (likeness.sum(-1) - 1) / max(len(states) - 1, 1)
            weights = (-redundancy / self.temperature).softmax(dim=-1)
        merged = torch.einsum("bsl,bsli->bsi", weights, inner)
        change: Tensor = self.up(functional.gelu(merged))
        return change


def sherl(site: Site, *, late: int = 2, reduction: int = 4, temperature: float = 1.0) -> Handle:
    """Feed what early layers agree least on into the last few layers.

    Args:
        site: Where; blocks below ``layer_lo`` are not merged.
        late: How many last blocks gradients pass through.
        reduction: The inner width is the hidden size divided by this.
        temperature: Of the weights of early layers; a small one keeps the least redundant alone.
    """
    count = len(site.arch.layers)
    late = min(late, count - 1)
    if late < 1:
        raise ArchitectureError("'sherl' needs a backbone of two blocks or more")
    early = site.arch.layers[min(site.lowest, count - late - 1) : count - late]
    merge = Merge(site.width, max(site.width // reduction, 4), len(early), temperature)
    hooks = Hooks(site.model, site.arch)
    states: list[Tensor] = []
    for index, layer in enumerate(early):
        hooks.module_output(layer.path, _noting(states, index))

    def feed(x: Tensor) -> Tensor:
        change = merge(states)
        states.clear()
        return x + torch.as_tensor(change)

    hooks.block_input(site.arch.layers[count - late].path, feed)
    return Handle(site, merge, hooks=hooks)


def _noting(states: list[Tensor], index: int) -> Callable[[Any], Any]:
    def note(output: Any) -> Any:
        states[index:] = [first(output)]
        return output

    return note


METHOD = Method(
    "sherl",
    sherl,
    ranges={
        "late": IntDistribution(1, 4),
        "reduction": one_of(2, 4, 8, 16),
        "temperature": one_of(0.1, 1.0),
    },
    rates=SIDE_RATES,
    ranged=False,
    searched=True,
    free=frozenset({"temperature"}),
    cheap_last=frozenset({"reduction"}),
    rivals=({"late": 1}, {"late": 2}, {"late": 3}, {"late": 4}),
)
