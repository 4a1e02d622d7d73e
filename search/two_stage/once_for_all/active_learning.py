"""Which networks to fine-tune next: those near the front of which the predictor knows least."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....spaces.elastic_genes import Networks, joined
from .collection import Collection
from .evolution import Evolution
from .predictor import Predictor, Samples

BATCH = 10
"""So many networks are chosen before the predictor learns again."""

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
    """Measure in batches what is chosen when all before it is known.

    Args:
        collection: Of the chosen networks alone; a batch that was stopped is chosen as before.
        count: How many it shall hold.
        drawn: What is known without them.
        choose: Chooses a batch.
        after_each: Told how many are measured, with those that were drawn.

    Returns:
        ``drawn``, and the chosen ones behind them.
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
    """Of new networks on a front and near it, `BATCH` whose predictions spread most.

    Near are mutants that meet a target of the evolution. One network is taken of each of as many
    random groups, so that they are not all alike. Known ones are taken where there are not enough
    others.

    Args:
        evolution: Not run yet.
        predictor: It has learned the samples.
        samples: Networks that are known.
        rng: Of mutants and groups.
    """
    front = evolution.run().networks
    assert front is not None
    pool = joined([front, evolution.mutants(front, rng)])
    seen = {*samples.networks.keys()}
    own = {key: row for row, key in enumerate(pool.keys())}
    fresh = {key: row for key, row in own.items() if key not in seen}
    pool = pool[sorted((fresh if len(fresh) >= BATCH else own).values())]
    spread = predictor.predict(pool)[1]
    order = np.resize(rng.permutation(len(pool)), max(BATCH, len(pool)))
    return pool[[int(group[spread[group].argmax()]) for group in np.array_split(order, BATCH)]]


def _numbered(networks: Networks, start: int) -> Callable[[int], Networks]:
    """The network of each number, where the first one has the number ``start``."""
    return lambda number: networks[[number - start]]
