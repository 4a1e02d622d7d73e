"""(IA)^3: learned factors of keys, values and the feed-forward network's inner values.

Liu et al. (NeurIPS 2022).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ....common.errors import ArchitectureError
from ..arch import size
from ..handle import Handle, Site
from ..hooks import Hooks, Rewrite
from ..method import LearningRates, Method


def ia3(site: Site) -> Handle:
    """Factors, at first 1, of keys, values, and of the inputs of the last projection."""
    if site.layers[0].fused:
        raise ArchitectureError(
            f"{type(site.model).__name__} has query, key and value in one projection: 'ia3' scales "
            "keys and values alone; use 'lora'"
        )
    hooks = Hooks(site.model, site.arch)
    outputs = [p for layer in site.layers for p in (layer.key, layer.value) if p]
    inputs = [layer.down for layer in site.layers]
    sizes = [size(site.model.get_submodule(p))[1] for p in outputs]
    sizes += [size(site.model.get_submodule(p))[0] for p in inputs]
    scales = nn.ParameterList([nn.Parameter(torch.ones(n)) for n in sizes])
    factors = list(scales)
    scaled_outputs = list(zip(outputs, factors[: len(outputs)], strict=True))
    scaled_inputs = list(zip(inputs, factors[len(outputs) :], strict=True))
    for path, factor in scaled_outputs:
        hooks.linear(path, _scaling(factor))
    for path, factor in scaled_inputs:
        hooks.linear_input(path, factor.mul)

    def merge() -> None:
        for path, factor in scaled_outputs:
            linear: Any = site.model.get_submodule(path)
            linear.weight *= _column(linear, factor)
            if linear.bias is not None:
                linear.bias *= factor
        for path, factor in scaled_inputs:
            linear = site.model.get_submodule(path)
            linear.weight *= factor if isinstance(linear, nn.Linear) else factor[:, None]

    return Handle(site, scales, hooks=hooks, merge=merge)


def _scaling(factor: Tensor) -> Rewrite:
    return lambda x, output: output * factor


def _column(linear: nn.Module, factor: Tensor) -> Tensor:
    return factor[:, None] if isinstance(linear, nn.Linear) else factor


METHOD = Method(
    "ia3", ia3, ranges={}, rates=LearningRates("ia3", 1e-3, 5e-2), searched=True, merges=True
)
