"""Choosing which tasks to train on, when training on all is too dear (MBTL and its successors)."""

from __future__ import annotations

from ...common.errors import unknown_name
from ...common.registry import register, resolve
from .selector import Contexts, Costs, Selector

SELECTORS: dict[str, str | type[Selector]] = {
    "bequest": ".two_way_selector:TwoWaySelector",
    "gp-mbtl": ".published:GPMBTLSelector",
    "m-mbtl": ".published:MMBTLSelector",
    "m/gp-mbtl": ".published:MGPMBTLSelector",
    "greedy": ".baselines:GreedyGapSelector",
    "random": ".baselines:RandomSelector",
}
"""Selectors by name: ``module:class``, imported when one is made."""

__all__ = ["SELECTORS", "Selector", "make_selector", "register_selector"]


def register_selector(name: str, selector: str | type[Selector]) -> None:
    """Add a selector of one's own; ``del SELECTORS[name]`` takes it out again.

    Args:
        name: By which selections and the command line find it.
        selector: The class, or ``module:class``.

    Raises:
        BequestError: The name is taken.
    """
    register(SELECTORS, "selector", name, selector)


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
    selector_class = resolve(SELECTORS[name], __name__)
    options = {"budget": budget} if selector_class.uses_budget else {}
    selector: Selector = selector_class(contexts, costs=costs, seed=seed, **options)
    return selector
