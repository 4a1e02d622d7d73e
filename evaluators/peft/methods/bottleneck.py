"""The bottleneck that adapters share: ``s * U f(D x)``, plain or of Kronecker products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


class Bottleneck(nn.Module):
    """``s * U f(D x + d) + s * u``; U begins at 0, so an untrained one changes nothing.

    Args:
        down: ``width -> b``; may be shared.
        up: ``b -> width``; may be shared.
        activation: A name in `ACTIVATIONS`.
        scale: s.
        dropout: On the inner values.
    """

    def __init__(
        self,
        down: nn.Module,
        up: nn.Module,
        *,
        activation: str = "relu",
        scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.down, self.up = down, up
        self.activation = ACTIVATIONS[activation]
        self.scale = scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., width]`` to ``[..., width]``."""
        inner = self.dropout(self.activation(self.down(x)))
        output: Tensor = self.up(inner)
        return output if self.scale == 1.0 else self.scale * output


def down_projection(width: int, inner: int) -> nn.Linear:
    """A projection into the bottleneck."""
    linear = nn.Linear(width, inner)
    nn.init.kaiming_uniform_(linear.weight, a=5**0.5)
    nn.init.zeros_(linear.bias)
    return linear


def up_projection(inner: int, width: int) -> nn.Linear:
    """A projection out of it, at first 0."""
    linear = nn.Linear(inner, width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


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
