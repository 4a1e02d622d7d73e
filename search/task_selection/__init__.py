"""Choosing which tasks to train on, when training on all is too dear (MBTL and its successors)."""

from __future__ import annotations

import importlib

from ...common.errors import unknown_name
from .selector import Contexts, Costs, Selector

SELECTORS = {
    "bequest": "two_way_selector:TwoWaySelector",
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
    budget: int | None = None,
    seed: int = 0,
) -> Selector:
    """A selector by its name.

    Args:
        name: One of `SELECTORS`.
        contexts: Where the tasks lie ``[N, d]``.
        costs: What training on each costs ``[N]``.
        budget: How many sources there will be; for selectors that plan ahead, others ignore it.
        seed: Of random draws.

    Raises:
        UnknownNameError: There is none of that name.
        SelectionError: The contexts, the costs or the budget make no sense, or costs are given to a
            selector that does not weigh them.
    """
    if name not in SELECTORS:
        raise unknown_name("selector", name, SELECTORS)
    module, kind = SELECTORS[name].split(":")
    selector_class = getattr(importlib.import_module(f".{module}", __name__), kind)
    options = {"budget": budget} if selector_class.uses_budget else {}
    selector: Selector = selector_class(contexts, costs=costs, seed=seed, **options)
    return selector
