"""Registries: plain dicts of things by name, to which people may add their own."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import BequestError


def resolve(entry: Any, package: str) -> Any:
    """What an entry of a registry stands for.

    Args:
        entry: The thing itself, or ``module:name``, imported when it is needed; a module that
            begins with a dot is below the package.
        package: The ``__package__`` of the registry.
    """
    if not isinstance(entry, str):
        return entry
    module, name = entry.split(":")
    return getattr(importlib.import_module(module, package), name)


def register(registry: dict[str, Any], kind: str, name: str, entry: Any) -> None:
    """Add an entry to a registry; ``del registry[name]`` takes it out again.

    Args:
        registry: Entries by name.
        kind: What is registered, for the message, for example ``"space"``.
        name: The new entry's.
        entry: As `resolve` takes it.

    Raises:
        BequestError: The name is taken.
    """
    if name in registry:
        raise BequestError(f"there is a {kind} {name!r} already: choose another name")
    registry[name] = entry
