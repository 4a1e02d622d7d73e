"""Full fine-tuning: every weight."""

from __future__ import annotations

from ..handle import Handle, Site
from ..method import FULL_RATES, Default, Method
from ..weights import all_weights, nothing_to_merge


def full(site: Site) -> Handle:
    """Every weight from the block ``layer_lo`` on; from 0 on, the embeddings, too."""
    return Handle(site, weights=all_weights(site), merge=nothing_to_merge)


METHOD = Method(
    "full",
    full,
    ranges={},
    rates=FULL_RATES,
    searched=True,
    default=Default(learning_rate=1e-4, common={"head_rate": 10.0}),
    merges=True,
)
