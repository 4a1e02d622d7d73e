"""Mixed precision: matrix products in bfloat16, where the device has instructions for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

WORTH = 2**16
"""Weights of fewer elements are multiplied as they are: turning them would take longer."""


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """What a forward pass runs in: PyTorch's autocast on a GPU; on a CPU that can, linear maps.

    Autocast on a CPU takes attention along, and attention of short sequences is several times
    slower in bfloat16 than in float32 there; MiniLM's training as a whole gains nothing from it,
    and a third of its time from this.
    """
    if device.type == "cuda":
        return torch.autocast(device.type, torch.bfloat16)
    if device.type == "cpu" and _cpu_can():
        return LinearMaps()
    return nullcontext()


@cache
def _cpu_can() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class LinearMaps(TorchFunctionMode):
    """Linear maps of float32 in bfloat16, with sums and results in float32."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.linear:
            return _linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if weight.numel() < WORTH or weight.dtype != torch.float32 or input.dtype != torch.float32:
        return functional.linear(input, weight, bias)
    product: Tensor = _Product.apply(input, weight)  # type: ignore[no-untyped-call]
    return product if bias is None else product + bias


class _Product(torch.autograd.Function):
    """``input weight^T``. What is kept for the backward pass is what float32 keeps: the tensors
    themselves, which others keep, too; copies in bfloat16 would come on top of them."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor) -> Tensor:
        of_input, of_weight = ctx.needs_input_grad
        ctx.save_for_backward(input if of_weight else None, weight if of_input else None)
        return functional.linear(input.bfloat16(), weight.bfloat16()).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        input, weight = ctx.saved_tensors
        gradient = gradients[0].bfloat16()
        of_input = None if weight is None else (gradient @ weight.bfloat16()).float()
        if input is None:
            return of_input, None
        rows = input.bfloat16().flatten(0, -2)
        return of_input, (gradient.flatten(0, -2).T @ rows).float()
