"""Families of related tasks that differ by a context: material for choosing training tasks.

Light: listing the families loads no large library.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...common.errors import SelectionError, unknown_name
from ...common.registry import register, resolve

_CONTROL = ".control.families:ControlFamily"

FAMILIES: dict[str, str | Callable[..., Any]] = {
    "rotated-digits": ".rotated_digits:open_rotated_digits",
    "cartpole-mass": _CONTROL,
    "cartpole-length": _CONTROL,
    "cartpole-pole-mass": _CONTROL,
    "cartpole": _CONTROL,
    "pendulum-step": _CONTROL,
    "pendulum-length": _CONTROL,
    "pendulum-mass": _CONTROL,
    "mountain-car-gravity": _CONTROL,
    "mountain-car-force": _CONTROL,
}
"""What makes each family when called with its name and options; a dot means below this package."""


def register_family(name: str, make: Callable[..., Any]) -> None:
    """Register a family; ``del FAMILIES[name]`` takes it out again.

    Args:
        name: How it is asked for.
        make: Makes it of (name, options as keywords); see `TaskSelection.of` for what a family is.

    Raises:
        BequestError: The name is taken.
    """
    register(FAMILIES, "family", name, make)


def open_family(name: str, **options: Any) -> Any:
    """A family by its name.

    Args:
        name: One of `FAMILIES`.
        **options: The family's own, for example ``steps`` of control tasks; ``None`` for the usual.

    Raises:
        UnknownNameError: There is no such family.
        SelectionError: It does not take an option.
    """
    if name not in FAMILIES:
        raise unknown_name("family", name, FAMILIES)
    make = resolve(FAMILIES[name], __package__)
    given = {option: value for option, value in options.items() if value is not None}
    taken = inspect.signature(make).parameters
    unknown = next((option for option in given if option not in taken), None)
    if unknown is not None:
        raise SelectionError(f"family {name!r} takes no --{unknown}: leave it out")
    return make(name, **given)
