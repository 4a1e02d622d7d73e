"""LST: a small network beside the backbone, fed by its hidden states.

Sung et al., *LST: Ladder Side-Tuning* (NeurIPS 2022): ``z_l = g_l(mu_l W_l h_l + (1 - mu_l)
z_{l-1})`` with ``mu_l = sigmoid(a_l / T)``. No gradient passes through the backbone, so its
activations are not kept. Variants: the states may be read from the last to the first (R2-Tuning),
or every second one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..attention import heads_of, joined
from ..bottleneck import up_projection
from ..handle import Handle, Site
from ..method import SIDE_RATES, Default, Method, one_of
from ..readout import Readout, pool


class SideBlock(nn.Module):
    """A transformer block of the side network's width, normalised before each part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_ffn = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, S, width]`` to the same; ``mask [B, S]`` is true where there is a token."""
        query, key, value = heads_of(self.qkv(self.before_attention(z)), 3 * self.heads).chunk(3, 1)
        keep = None if mask is None else mask[:, None, None, :].bool()
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=keep)
        z = z + self.output(joined(attended))
        inner = functional.gelu(self.up(self.before_ffn(z)))
        return z + torch.as_tensor(self.down(inner))


class Ladder(Readout):
    """The side network: it reads the states and gives the last state plus what it found."""

    needs_states = True

    def __init__(
        self, site: Site, reduction: int, temperature: float, every: int, backward: bool
    ) -> None:
        super().__init__(site.arch)
        width = max(site.width // reduction, 8)
        heads = next(h for h in (4, 2, 1) if width % h == 0)
        count = len(site.arch.layers)
        self.fed = sorted({0, *range(count, site.lowest, -every)}, reverse=backward)
        self.temperature = temperature
        self.downs = nn.ModuleList(nn.Linear(site.width, width) for _ in self.fed)
        self.blocks = nn.ModuleList(SideBlock(width, heads) for _ in self.fed[1:])
        self.gates = nn.Parameter(torch.zeros(len(self.fed) - 1))
        self.up = up_projection(width, site.width)

    def forward(self, states: list[Tensor], mask: Tensor | None) -> Tensor:
        """``[B, D]``."""
        z = self.downs[0](states[self.fed[0]].detach())
        shares = (self.gates / self.temperature).sigmoid()
        for down, block, share, layer in zip(
            list(self.downs)[1:], self.blocks, shares, self.fed[1:], strict=True
        ):
            z = block(share * down(states[layer].detach()) + (1 - share) * z, mask)
        last, side = (pool(x, mask, class_token=self.class_token) for x in (states[-1].detach(), z))
        return last + torch.as_tensor(self.up(side))


def lst(
    site: Site,
    *,
    reduction: int = 8,
    temperature: float = 0.1,
    every: int = 1,
    backward: bool = False,
) -> Handle:
    """A ladder of small transformer blocks.

    Args:
        site: Where; states below ``layer_lo`` are not fed, but for the embeddings.
        reduction: The side network's width is the hidden size divided by this.
        temperature: T of the gates.
        every: Feed one in so many layers, from the last one down.
        backward: Read the states from the last layer to the first.
    """
    return Handle(site, readout=Ladder(site, reduction, temperature, every, backward))


METHOD = Method(
    "lst",
    lst,
    ranges={"reduction": one_of(2, 4, 8, 16, 32), "temperature": one_of(0.1, 1.0)},
    rates=SIDE_RATES,
    searched=True,
    default=Default({"reduction": 8, "temperature": 0.1}, learning_rate=3e-3),
    free=frozenset({"temperature"}),
    cheap_last=frozenset({"reduction"}),
)
