"""Compacter: serial adapters whose projections are sums of Kronecker products.

Karimi Mahabadi et al., *Compacter: Efficient Low-Rank Hypercomplex Adapter Layers* (NeurIPS 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....common.errors import ConfigurationError
from ..bottleneck import Bottleneck, attach_bottlenecks
from ..handle import Handle, Site
from ..method import ADAPTER_RATES, Method, one_of


class KroneckerLinear(nn.Module):
    """``x W + b`` with ``W = sum_i A_i (x) (s_i t_i)``: Compacter (Karimi Mahabadi et al., 2021).

    Args:
        inputs, outputs: Sizes; both divisible by n.
        rule: The n matrices A_i ``[n, n, n]``, shared by all layers.
        rank: Of each second factor.
        zero: Whether W begins at 0.
    """

    def __init__(
        self, inputs: int, outputs: int, rule: nn.Parameter, *, rank: int = 1, zero: bool = False
    ) -> None:
        super().__init__()
        n = rule.shape[0]
        self.rule = rule
        self.left = nn.Parameter(torch.randn(n, inputs // n, rank) / (inputs // n) ** 0.5)
        right = torch.zeros if zero else torch.randn
        self.right = nn.Parameter(right(n, rank, outputs // n))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def weight(self) -> Tensor:
        """W ``[inputs, outputs]``."""
        second = self.left @ self.right  # [n, inputs / n, outputs / n]
        product = torch.einsum("iab,icd->acbd", self.rule, second)
        return product.reshape(self.left.shape[1] * len(self.rule), -1)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        return x @ self.weight() + self.bias


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


METHOD = Method(
    "compacter",
    compacter,
    ranges={"bottleneck": one_of(16, 32, 64), "phm": one_of(2, 4, 8)},
    rates=ADAPTER_RATES,
    searched=True,
)
