"""The methods by name, and how one is attached."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ...errors import ConfigurationError, unknown_name
from .handle import Handle, Site
from .methods import (
    adapters,
    apt,
    dept,
    ia3,
    ladder,
    library,
    lora,
    mam,
    p_adapter,
    petalface,
    prefix,
    prompts,
    scalearn,
    sherl,
    skipping,
    sparse,
    subsets,
    unipt,
    visual_queries,
)

METHODS: dict[str, Callable[..., Handle]] = {
    "adapter": adapters.adapter,
    "apt": apt.apt,
    "bitfit": subsets.bitfit,
    "black-box-prompt": prompts.black_box_prompt,
    "compacter": adapters.compacter,
    "das": skipping.das,
    "dept": dept.dept,
    "full": subsets.full,
    "ia3": ia3.ia3,
    "layernorm": subsets.layernorm,
    "library": library.library,
    "lora": lora.lora,
    "lst": ladder.lst,
    "mam": mam.mam,
    "p-adapter": p_adapter.p_adapter,
    "petalface": petalface.petalface,
    "prefix": prefix.prefix,
    "probe": subsets.probe,
    "prompt": prompts.prompt,
    "scalearn": scalearn.scalearn,
    "sherl": sherl.sherl,
    "sparse": sparse.sparse,
    "top-k": subsets.top_k,
    "unipt": unipt.unipt,
    "vqt": visual_queries.vqt,
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
