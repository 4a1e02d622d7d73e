"""Mixed precision: matrix products in bfloat16, where the device has instructions for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

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

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[Tensor, int, Tensor] | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.linear:
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if weight.numel() < WORTH or weight.dtype != torch.float32 or input.dtype != torch.float32:
            return functional.linear(input, weight, bias)
        product: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            input, weight, bias, self._turned(input)
        )
        return product

    def _turned(self, input: Tensor) -> Tensor:
        """In bfloat16; queries, keys and values read the same input one after another."""
        if self._last is None or self._last[0] is not input or self._last[1] != input._version:
            self._last = input, input._version, input.detach().bfloat16()
        return self._last[2]


class _Turned:
    """Frozen weights in bfloat16, as long as they are there and stay as they are.

    Those that are trained change behind this one's back: fused optimisers count no versions.
    """

    def __init__(self) -> None:
        self._of: MutableMapping[Tensor, tuple[int, Tensor]] = WeakTensorKeyDictionary()

    def __call__(self, weight: Tensor) -> Tensor:
        if weight.requires_grad:
            self._of.pop(weight, None)
            return weight.detach().bfloat16()
        version, turned = self._of.get(weight, (-1, weight))
        if version != weight._version:
            turned = weight.detach().bfloat16()
            self._of[weight] = weight._version, turned
        return turned


_turned = _Turned()


class _Product(torch.autograd.Function):
    """``input weight^T + bias``. What is kept for the backward pass is what float32 keeps: the
    tensors themselves, which others keep, too; copies in bfloat16 would come on top of them."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, turned: Tensor
    ) -> Tensor:
        of_input, of_weight, ctx.of_bias, _ = ctx.needs_input_grad
        ctx.save_for_backward(input if of_weight else None, weight if of_input else None)
        product = functional.linear(turned, _turned(weight)).float()
        return product if bias is None else product.add_(bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        gradient = gradients[0].bfloat16()
        of_input = None if weight is None else (gradient @ _turned(weight)).float()
        of_weight = of_bias = None
        if input is not None:
            rows = input.bfloat16().flatten(0, -2)
            of_weight = (gradient.flatten(0, -2).T @ rows).float()
        if ctx.of_bias:
            of_bias = gradients[0].flatten(0, -2).sum(0)
        return of_input, of_weight, of_bias, None
