"""The methods by name, and how one is attached."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ...common.errors import ConfigurationError, unknown_name
from .handle import Handle, Site
from .methods.adapters import adapter, compacter
from .methods.apt import apt
from .methods.dept import dept
from .methods.ia3 import ia3
from .methods.ladder import lst
from .methods.library import library
from .methods.lora import lora
from .methods.mam import mam
from .methods.p_adapter import p_adapter
from .methods.petalface import petalface
from .methods.prefix import prefix
from .methods.prompts import black_box_prompt, prompt
from .methods.scalearn import scalearn
from .methods.sherl import sherl
from .methods.skipping import das
from .methods.sparse import sparse
from .methods.subsets import bitfit, full, layernorm, probe, top_k
from .methods.unipt import unipt
from .methods.visual_queries import vqt

METHODS: dict[str, Callable[..., Handle]] = {
    "adapter": adapter,
    "apt": apt,
    "bitfit": bitfit,
    "black-box-prompt": black_box_prompt,
    "compacter": compacter,
    "das": das,
    "dept": dept,
    "full": full,
    "ia3": ia3,
    "layernorm": layernorm,
    "library": library,
    "lora": lora,
    "lst": lst,
    "mam": mam,
    "p-adapter": p_adapter,
    "petalface": petalface,
    "prefix": prefix,
    "probe": probe,
    "prompt": prompt,
    "scalearn": scalearn,
    "sherl": sherl,
    "sparse": sparse,
    "top-k": top_k,
    "unipt": unipt,
    "vqt": vqt,
}
"""What attaches each method: takes a `Site` and the method's knobs as keywords."""


def attach(model: nn.Module, method: str, *, layer_lo: int = 0, **knobs: Any) -> Handle:
    """Put a method on a backbone, which is frozen but for what the method trains.

    Args:
        model: A backbone without a head, see `describe_architecture`.
        method: One of `METHODS`.
        layer_lo: The first block that the method may touch.
        **knobs: The method's own; see the function in `METHODS`.

    Raises:
        UnknownNameError: There is no such method.
        ConfigurationError: The method has no such knob.
        ArchitectureError: The method does not fit the backbone.

    Example:
        >>> handle = attach(model, "lora", rank=8, where="qv")  # doctest: +SKIP
        >>> handle.count()  # doctest: +SKIP
        73728
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    known = knobs_of(method)
    extra = next((name for name in knobs if name not in known and method != "library"), None)
    if extra is not None:
        raise ConfigurationError(
            f"method {method!r} has no knob {extra!r}: it has {', '.join(known) or 'none'}"
        )
    return METHODS[method](Site.of(model, layer_lo), **knobs)


def knobs_of(method: str) -> Mapping[str, Any]:
    """A method's knobs and their defaults."""
    found = inspect.signature(METHODS[method]).parameters.values()
    return {p.name: p.default for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY}
