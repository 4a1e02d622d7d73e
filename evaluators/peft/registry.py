"""The methods by name, and how one is attached."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from ...common.errors import ConfigurationError, unknown_name
from ...common.registry import register
from .handle import Handle, Site
from .method import Method

_MODULES = (
    "probe",
    "full",
    "top_k",
    "adapter",
    "compacter",
    "lora",
    "ia3",
    "bitfit",
    "layernorm",
    "prefix",
    "mam",
    "prompt",
    "dept",
    "apt",
    "p_adapter",
    "petalface",
    "das",
    "sparse",
    "lst",
    "unipt",
    "sherl",
    "vqt",
    "black_box_prompt",
    "library",
    "scalearn",
)
"""The module of each method in `methods`. Families of learning rates come in this order in the
space, and so do the methods of a family; new methods stand at the end."""

METHODS: dict[str, Method] = {}
"""All that is known of each method, by its name."""


def register_method(method: Method) -> None:
    """Register a method; ``del METHODS[name]`` takes it out again.

    Args:
        method: It is searched by default if it says so, else where it is asked for by name.

    Raises:
        BequestError: The name is taken.
    """
    register(METHODS, "method", method.name, method)


for _module in _MODULES:
    register_method(importlib.import_module(f".methods.{_module}", __package__).METHOD)


def method_named(name: str) -> Method:
    """A method by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]


def attach(model: nn.Module, method: str, *, layer_lo: int = 0, **knobs: Any) -> Handle:
    """Put a method on a backbone, which is frozen but for what the method trains.

    Args:
        model: A backbone without a head, see `describe_architecture`.
        method: One of `METHODS`.
        layer_lo: The first block that the method may touch.
        **knobs: The method's own; see its module.

    Raises:
        UnknownNameError: There is no such method.
        ConfigurationError: The method has no such knob.
        ArchitectureError: The method does not fit the backbone.

    Example:
        >>> handle = attach(model, "lora", rank=8, where="qv")  # doctest: +SKIP
        >>> handle.count()  # doctest: +SKIP
        73728
    """
    chosen = method_named(method)
    unknown = [name for name in knobs if name not in chosen.knobs]
    if unknown and not chosen.takes_any_knob:
        raise ConfigurationError(
            f"method {method!r} has no knob {unknown[0]!r}: it has "
            f"{', '.join(chosen.knobs) or 'none'}"
        )
    return chosen.attach(Site.of(model, layer_lo), **knobs)
