"""Attention that methods may rewrite, the same for Hugging Face's backbones and timm's.

Hugging Face dispatches attention by a name in the configuration; Bequest registers one more. The
mask is always there as numbers to add, so keys can be put before it and rows can be normalised
anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ...common.errors import ArchitectureError
from .arch import LayerSpec

NAME = "bequest"
_HOOKS = "_bequest_attention_hooks"


@dataclass(frozen=True)
class Attention:
    """One block's attention, before it is computed.

    Attributes:
        query, key, value: ``[B, heads, S, d]``; grouped keys and values are repeated already.
        bias: Added to the scores: mask and positions, ``[B or 1, heads or 1, S, S]``, or ``None``.
        scale: The scores' factor.
        dropout: The share of attention weights that is dropped.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None
    scale: float
    dropout: float = 0.0

    def attend(self) -> Tensor:
        """``softmax(scale * query key^T + bias) value``: ``[B, heads, S, d]``."""
        return functional.scaled_dot_product_attention(
            self.query,
            self.key,
            self.value,
            attn_mask=self.bias,
            scale=self.scale,
            dropout_p=self.dropout,
        )

    def weights(self) -> Tensor:
        """The attention weights ``[B, heads, S, S]``."""
        scores = self.scale * self.query @ self.key.transpose(-1, -2)
        return (scores if self.bias is None else scores + self.bias).softmax(dim=-1)


AttentionHook = Callable[[Attention, Callable[[Attention], Tensor]], Tensor]
"""Takes an attention and how to go on with it (the next hook, or plain attention)."""


def hook_attention(model: nn.Module, layer: LayerSpec, hook: AttentionHook) -> Callable[[], None]:
    """Let a hook compute a block's attention.

    Returns:
        What takes the hook away again.

    Raises:
        ArchitectureError: The attention is neither dispatched by Hugging Face nor timm's.
    """
    core = model.get_submodule(layer.attention)
    hooks = [*getattr(core, _HOOKS, []), hook]
    object.__setattr__(core, _HOOKS, hooks)
    redirect = _redirect_timm if hasattr(model, "forward_features") else _redirect_hugging_face
    undo = redirect(model, core)

    def remove() -> None:
        left = [h for h in getattr(core, _HOOKS) if h is not hook]
        object.__setattr__(core, _HOOKS, left)
        undo()

    return remove


def _run(core: nn.Module, attention: Attention) -> Tensor:
    """Plain attention with the module's hooks around it, the latest outermost."""

    def step(place: int) -> Callable[[Attention], Tensor]:
        if place < 0:
            return Attention.attend
        return lambda given: hooks[place](given, step(place - 1))

    hooks: list[AttentionHook] = getattr(core, _HOOKS, [])
    return step(len(hooks) - 1)(attention)


def _redirect_hugging_face(model: nn.Module, core: nn.Module) -> Callable[[], None]:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    # Falcon has its own classes, and would silently go on as before.
    dispatches = hasattr(sys.modules[type(core).__module__], "ALL_ATTENTION_FUNCTIONS")
    dispatched = dispatches and getattr(core, "config", None) is not None
    if not dispatched or not getattr(model, "_supports_sdpa", False):
        raise ArchitectureError(
            f"the attention of {type(model).__name__} ({type(core).__name__}) cannot be rewritten: "
            "choose a method without prefixes, or a backbone with scaled-dot-product attention"
        )
    AttentionInterface.register(NAME, _dispatched)
    AttentionMaskInterface.register(NAME, _full_mask(eager_mask))
    parts: list[Any] = [module for module in model.modules() if hasattr(module, "config")]
    configs = {id(part.config): part.config for part in parts}
    before = [(config, config._attn_implementation) for config in configs.values()]
    for config in configs.values():
        config._attn_implementation = NAME

    def undo() -> None:
        for config, name in before:
            config._attn_implementation = name

    return undo


def _full_mask(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **options: make(*args, **{**options, "allow_is_bidirectional_skip": False})


def _dispatched(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    parts = [part for part in (attention_mask, position_bias) if part is not None]
    bias = parts[0] + parts[1] if len(parts) == 2 else parts[0] if parts else None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = _run(module, Attention(query, key, value, bias, scale, dropout))
    return output.transpose(1, 2), None


def _redirect_timm(model: nn.Module, core: nn.Module) -> Callable[[], None]:
    """timm's attention has no dispatch: what it hands to PyTorch's attention is taken over."""
    if "forward" in vars(core):
        return lambda: None
    part: Any = core
    whole = part.forward

    def forward(*args: Any, **options: Any) -> Any:
        taken = _Taken(core)
        with taken:
            output = whole(*args, **options)
        if taken.count != 1:
            raise ArchitectureError(
                f"{type(core).__name__} of {type(model).__name__} calls PyTorch's "
                f"scaled_dot_product_attention {taken.count} times in a pass, not once: choose a "
                "method without prefixes (or switch its fused attention on)"
            )
        return output

    part.forward = forward
    return lambda: delattr(part, "forward")


class _Taken(TorchFunctionMode):
    """While it is on, a module's hooks compute its attention, whatever went before (norms, rotary
    positions) and whatever comes after."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core, self.count = core, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **given)
        self.count += 1
        return _run(self.core, _as_called(*args, **given))


def _as_called(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Attention:
    """The arguments of PyTorch's attention."""
    bias = attn_mask
    if is_causal:
        ones = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)
        bias = ones.tril()
    if bias is not None and bias.dtype == torch.bool:
        bias = torch.zeros_like(bias, dtype=query.dtype).masked_fill(~bias, float("-inf"))
    if bias is not None:
        bias = bias[(None,) * (4 - bias.dim())]
    usual = query.shape[-1] ** -0.5 if scale is None else scale
    return Attention(query, key, value, bias, usual, dropout_p)


def heads_of(x: Tensor, heads: int) -> Tensor:
    """``[..., S, heads * d]`` as ``[..., heads, S, d]``."""
    return x.reshape(*x.shape[:-1], heads, -1).transpose(-2, -3)


def joined(x: Tensor) -> Tensor:
    """``[..., heads, S, d]`` as ``[..., S, heads * d]``."""
    return x.transpose(-2, -3).flatten(-2)


def prefixed(attention: Attention, key: Tensor, value: Tensor) -> Attention:
    """With keys and values ``[heads, m, d]`` before the others, which every position sees."""
    batch = len(attention.query)
    more = [t.expand(batch, *t.shape) for t in (key, value)]
    bias = attention.bias
    if bias is not None:
        bias = functional.pad(bias, (key.shape[1], 0))
    return Attention(
        attention.query,
        torch.cat([more[0], attention.key], dim=2),
        torch.cat([more[1], attention.value], dim=2),
        bias,
        attention.scale,
        attention.dropout,
    )
