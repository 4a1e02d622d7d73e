"""ScaLearn: learn only how much of each source task's adapter is used.

Frohmann et al., *ScaLearn: Simple and Highly Parameter-Efficient Task Transfer by Learning to
Scale* (2023): ``sum_t w_{t,l} A_{t,l}(x)`` over frozen source adapters; w is a vector or a number,
for each layer or the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ....common.errors import ConfigurationError
from ..bottleneck import Bottleneck, adapted
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import Method


class Scaled(nn.Module):
    """``sum_t w_t A_t(x)``."""

    def __init__(self, adapters: Sequence[nn.Module], scales: nn.Parameter) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(adapters).requires_grad_(False)
        self.scales = scales

    def forward(self, x: Tensor) -> Tensor:
        """``[..., D]`` to ``[..., D]``."""
        parts = [w * a(x) for w, a in zip(self.scales, self.adapters, strict=True)]
        return torch.stack(parts).sum(dim=0)


def scalearn(
    site: Site,
    *,
    sources: Sequence[Mapping[str, Tensor]] = (),
    vector: bool = True,
    uniform: bool = False,
    form: str = "parallel",
    activation: str = "relu",
    scale: float = 1.0,
) -> Handle:
    """Scales of frozen adapters at the feed-forward network.

    Args:
        site: Where.
        sources: The states of adapters (`adapter` with ``place="ffn"``, without sharing), one
            a source task, attached with the same ``layer_lo``.
        vector: A scale for each coordinate, else one number.
        uniform: One set of scales for all layers.
        form, activation, scale: The sources', as for `adapter`: their states do not say them.

    Raises:
        ConfigurationError: There is no source, or one does not fit.
    """
    if not sources:
        raise ConfigurationError(
            "method 'scalearn' learns from other tasks' adapters: give sources=[handle.state()]"
        )
    hooks = Hooks(site.model, site.arch)
    shape = (len(sources), site.width if vector else 1)
    scales = [nn.Parameter(torch.full(shape, 1 / len(sources))) for _ in site.layers]
    blocks = nn.ModuleList()
    for block, layer in enumerate(site.layers):
        adapters = [_adapter(source, block, activation, scale) for source in sources]
        blocks.append(scaled := Scaled(adapters, scales[0 if uniform else block]))
        hooks.sublayer(layer, "ffn", adapted(scaled, form))
    handle = Handle(site, blocks, hooks=hooks)
    handle.decays = False  # scales, though one row a source: they would decay to 0
    return handle


def _adapter(state: Mapping[str, Tensor], block: int, activation: str, scale: float) -> Bottleneck:
    parts = {key: state.get(f"own.{block}.{key}") for key in _KEYS}
    if any(value is None for value in parts.values()):
        raise ConfigurationError(
            f"a source of 'scalearn' has no adapter for block {block}: give the state of method "
            "'adapter' with place='ffn', attached with the same layer_lo"
        )
    inner, width = parts["down.weight"].shape  # type: ignore[union-attr]
    linears = nn.Linear(width, inner), nn.Linear(inner, width)
    adapter = Bottleneck(*linears, activation=activation, scale=scale)
    adapter.load_state_dict({key: value for key, value in parts.items() if value is not None})
    return adapter


_KEYS = ("down.weight", "down.bias", "up.weight", "up.bias")


METHOD = Method("scalearn", scalearn)
