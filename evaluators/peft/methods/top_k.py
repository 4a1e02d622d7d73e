"""The last blocks alone."""

from __future__ import annotations

from optuna.distributions import IntDistribution

from ..handle import Handle, Site
from ..method import FULL_RATES, Method
from ..weights import inside, tune


def top_k(site: Site, *, layers: int = 2) -> Handle:
    """The last blocks.

    Args:
        site: Where.
        layers: How many; all of them where there are no more. Embeddings stay as they are.
    """
    last = Site(site.model, site.arch, max(len(site.arch.layers) - layers, site.lowest))
    return tune(last, lambda name: inside(last, name))


METHOD = Method(
    "top-k",
    top_k,
    ranges={"layers": IntDistribution(1, 4)},
    rates=FULL_RATES,
    ranged=False,
    searched=True,
    merges=True,
)
