"""Banks: what earlier tasks measured, kept for new ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..common.renamed import renamed_attribute

if TYPE_CHECKING:
    from .bank import Bank
    from .record import BankTask, Record
    from .scores import Scores

_EXPORTS = {"Bank": "bank", "BankTask": "record", "Record": "record", "Scores": "scores"}

__all__ = ["Bank", "BankTask", "Record", "Scores"]

_renamed = renamed_attribute(
    __name__,
    {
        "DesignPrior": "search.surrogates.design_prior:DesignPrior",
        "Inheritance": "search.surrogates.transfer_prior:TransferPrior",
    },
)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        return _renamed(name)
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
