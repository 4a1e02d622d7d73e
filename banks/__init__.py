"""Banks: what earlier tasks found, and what they say of a new one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bank import Bank
    from .inheritance import Inheritance
    from .prior import DesignPrior
    from .record import BankTask, Record
    from .scores import Scores

_EXPORTS = {
    "Bank": "bank",
    "BankTask": "record",
    "DesignPrior": "prior",
    "Inheritance": "inheritance",
    "Record": "record",
    "Scores": "scores",
}

__all__ = ["Bank", "BankTask", "DesignPrior", "Inheritance", "Record", "Scores"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
