"""The bottleneck that adapters share, ``s * U f(D x)``, and where it is put."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from .handle import Handle, Site
from .hooks import Hooks, Rewrite

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


PLACES = {"attention": ("attention",), "ffn": ("ffn",), "both": ("attention", "ffn")}
"""The sublayers of each ``place``."""


def attach_bottlenecks(site: Site, make: Callable[[], Bottleneck], place: str, form: str) -> Handle:
    """Put a new bottleneck at each place of each layer.

    Args:
        site: Where.
        make: Makes one.
        place: A key of `PLACES`.
        form: ``"parallel"`` or ``"serial"``, see `adapted`.
    """
    hooks = Hooks(site.model, site.arch)
    bottlenecks = nn.ModuleList()
    for layer in site.layers:
        for where in PLACES[place]:
            bottlenecks.append(bottleneck := make())
            hooks.sublayer(layer, where, adapted(bottleneck, form))
    return Handle(site, bottlenecks, hooks=hooks)


def adapted(module: nn.Module, form: str) -> Rewrite:
    """How an adapter changes a sublayer's output: by its input (``"parallel"``) or by itself."""

    def rewrite(x: Tensor, output: Tensor) -> Tensor:
        change: Tensor = module(x if form == "parallel" else output)
        return output + change

    return rewrite
