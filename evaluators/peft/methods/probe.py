"""A probe: nothing but the head, on features of the frozen backbone."""

from __future__ import annotations

from optuna.distributions import FloatDistribution

from ..handle import Handle, Site
from ..method import Default, Method


def probe(site: Site, *, regularisation: float = 300.0) -> Handle:
    """Nothing but the head.

    Args:
        site: Where.
        regularisation: Of the head, which is solved for (`solve_probe` in `finetuning.network`);
            the backbone does not see it.
    """
    return Handle(site)


METHOD = Method(
    "probe",
    probe,
    ranges={"regularisation": FloatDistribution(1.0, 1e4, log=True)},
    ranged=False,
    searched=True,
    default=Default({"regularisation": 300.0}),
    free=frozenset({"regularisation"}),
)
