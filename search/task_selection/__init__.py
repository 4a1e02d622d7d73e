"""Choosing which tasks to train on, when training on all is too dear (MBTL and its successors)."""

from __future__ import annotations

import importlib

from ...errors import unknown_name
from .selector import Contexts, Costs, Selector

SELECTORS = {
    "bequest": "improving:TwoWaySelector",
    "gp-mbtl": "published:GPMBTLSelector",
    "m-mbtl": "published:MMBTLSelector",
    "m/gp-mbtl": "published:MGPMBTLSelector",
    "greedy": "baselines:GreedyGapSelector",
    "random": "baselines:RandomSelector",
}
"""Selectors by name: ``module:class``, imported when one is made."""

__all__ = ["SELECTORS", "Selector", "make_selector"]


def make_selector(
    name: str,
    contexts: Contexts,
    *,
    costs: Costs = None,
    seed: int = 0,
) -> Selector:
    """A selector by its name.

    Raises:
        UnknownNameError: There is none of that name.
        SelectionError: The contexts or the costs make no sense, or costs are given to a selector
            that does not weigh them.
    """
    if name not in SELECTORS:
        raise unknown_name("selector", name, SELECTORS)
    module, kind = SELECTORS[name].split(":")
    found: Selector = getattr(importlib.import_module(f".{module}", __name__), kind)(
        contexts, costs=costs, seed=seed
    )
    return found
