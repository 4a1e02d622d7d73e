"""Which networks to fine-tune next: those near the front with the least certain predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....spaces.elastic_genes import Networks, joined
from .collection import Collection
from .evolution import Evolution
from .predictor import Predictor, Samples

BATCH = 10
"""The number of networks that are chosen before the predictor learns again."""

SHORT = 30
"""Rounds of the evolution that looks for networks to learn from."""

Choose = Callable[[Samples, int], Networks]
"""The next `BATCH` networks, from all samples so far and the number of the first."""


def grow_actively(
    collection: Collection,
    count: int,
    drawn: Samples,
    choose: Choose,
    after_each: Callable[[int], object] = lambda _: None,
) -> Samples:
    """Measure networks in batches, each chosen when all earlier ones are measured.

    Args:
        collection: Of the chosen networks alone; an interrupted batch is chosen as before.
        count: How many it is to hold.
        drawn: Samples that were measured before.
        choose: Chooses a batch.
        after_each: Told how many are measured, with those that were drawn.

    Returns:
        ``drawn``, followed by the chosen ones.
    """
    samples = drawn
    for start in range(0, count, BATCH):
        end = min(start + BATCH, count)
        if len(collection.rows()) < end:
            collection.grow(
                end,
                _numbered(choose(samples, start), start),
                lambda measured: after_each(len(drawn) + measured),
            )
        samples = drawn.extended(collection.samples(end))
    return samples


def least_known(
    evolution: Evolution,
    predictor: Predictor,
    samples: Samples,
    rng: np.random.Generator,
) -> Networks:
    """`BATCH` networks with the least certain predictions, from a front and near it.

    Mutants of the front that meet a target are near it. They are divided into as many random
    groups, and each group gives one network, so that they are not all alike. Measured networks are
    taken only if there are not enough others.

    Args:
        evolution: Not run yet.
        predictor: Trained on the samples.
        samples: The networks that are measured.
        rng: Of mutants and groups.
    """
    front = evolution.run().networks
    assert front is not None
    pool = joined([front, evolution.mutants(front, rng)])
    measured = {*samples.networks.keys()}
    row_of = {key: row for row, key in enumerate(pool.keys())}
    fresh = {key: row for key, row in row_of.items() if key not in measured}
    pool = pool[sorted((fresh if len(fresh) >= BATCH else row_of).values())]
    spread = predictor.predict(pool)[1]
    order = np.resize(rng.permutation(len(pool)), max(BATCH, len(pool)))
    return pool[[int(group[spread[group].argmax()]) for group in np.array_split(order, BATCH)]]


def _numbered(networks: Networks, start: int) -> Callable[[int], Networks]:
    """The network of each number, where the first one has the number ``start``."""
    return lambda number: networks[[number - start]]
