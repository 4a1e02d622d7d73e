"""The rival of joint search: architecture, then channels, then bits, one after another."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bequest.evaluators.hardware.totals import NetworkCosts
from bequest.evaluators.limits import Limit
from bequest.search.two_stage.once_for_all.active_learning import (
    BATCH,
    SHORT,
    grow_actively,
    least_known,
)
from bequest.search.two_stage.once_for_all.evolution import MARGIN, Evolution
from bequest.search.two_stage.once_for_all.predictor import Knowledge, Samples
from bequest.search.two_stage.once_for_all.search import CompressionSearch
from bequest.spaces.elastic import BITS, ROLES
from bequest.spaces.elastic_genes import Networks


class OneAfterAnother:
    """Architecture at 8 bits and full width, then channels, then bits: the rival of joint search.

    It has what joint search has: the same networks in float32, the same fine-tuned ones that were
    drawn at random, as many more that are chosen in the same way on and near the front of its own
    last stage (see `least_known`), one batch for each limit, the same score, and the same rounds in
    all, shared by limits and stages. Each of the
    first two stages takes a third of the way (on a logarithmic scale) from the largest network's
    latency to the limit, or as much of it as it can; where bits cannot do the rest, both are done
    again under tighter limits.

    Args:
        search: The joint search, done.
        floats: What its predictor knew before it learned bits.
        limits: In ms.
        tried: How many networks `best` gives.

    Attributes:
        calls: How many networks were scored.
        restarts: How often the first two stages had to be done again.
    """

    def __init__(
        self, search: CompressionSearch, floats: Knowledge, limits: Sequence[float], tried: int
    ) -> None:
        self.search, self.limits, self.tried = search, limits, tried
        self.costs = search.evaluator.costs
        self.calls = self.restarts = 0
        search.predictor.restore(floats)
        self.bases = {ms: self._architecture(ms) for ms in self.limits}
        search.predictor.restore(floats).transfer(self._measured(floats))

    def best(self, ms: float) -> Networks:
        """The last stage's best few under a limit."""
        return self._stage(self.bases[ms], ("bits",), ms).best({"latency": ms}, self.tried)

    def _architecture(self, ms: float) -> Networks:
        """What the first two stages choose, from where bits can reach the limit."""
        for attempt in range(30):
            at = Networks.largest(self.search.geometry)
            start = float(self.costs.total(at, "latency")[0])
            for free, share in ((("depth", "kernel"), 1 / 3), (("channels",), 2 / 3)):
                goal = 0.9**attempt * start * (ms / start) ** share
                goal = max(goal, _within_reach(self.costs, at, free))
                found = self._stage(at, free, goal).best({"latency": goal}, 1_000)
                at = found[:1]
            found = found[np.flatnonzero(_least_by_bits(self.costs, found) <= ms / MARGIN)]
            if len(found):
                return found[:1]
            self.restarts += 1
        raise RuntimeError(f"one after another, nothing reaches {ms} ms")

    def _measured(self, floats: Knowledge) -> Samples:
        """The drawn networks, and those of the last stage of which least is known."""
        search = self.search
        limits, bases = list(self.bases), list(self.bases.values())

        def choose(samples: Samples, number: int) -> Networks:
            search.predictor.restore(floats).transfer(samples)
            which = number // BATCH % len(limits)
            evolution = self._evolution(bases[which], ("bits",), limits[which], SHORT)
            rng = np.random.default_rng([search.seed, 3, number])
            return least_known(evolution, search.predictor, samples, rng)

        keys = b"".join(base.keys()[0] for base in bases) + repr(limits).encode()
        digest = hashlib.sha256(keys).hexdigest()[:8]
        collection = search.tuned(search.drawn.path.with_suffix(f".sequential-{digest}.jsonl"))
        drawn = search.drawn.samples(search.drawn_count)
        return grow_actively(collection, search.settings.quantised - len(drawn), drawn, choose)

    def _stage(self, at: Networks, free: tuple[str, ...], goal: float) -> Evolution:
        rounds = self.search.settings.evolving.rounds // (3 * len(self.limits))
        evolution = self._evolution(at, free, goal, rounds)
        evolution.run()
        self.calls += evolution.calls
        return evolution

    def _evolution(
        self, at: Networks, free: tuple[str, ...], goal: float, rounds: int
    ) -> Evolution:
        return Evolution(
            self.costs,
            self.search.score,
            [Limit("latency", goal, "ms")],
            replace(self.search.settings.evolving, rounds=rounds, rungs=1),
            seed=self.search.seed,
            free=free,
            fixed=at,
        )


def _least_by_bits(costs: NetworkCosts, networks: Networks) -> np.ndarray:
    """The least latency to which bits alone can bring networks ``[n]``."""
    fixed = costs.total(networks, "latency") - costs.by_block(networks, "latency").sum(1)
    least = np.full(networks.kernel.shape, np.inf)
    for bits in itertools.product(range(len(BITS)), repeat=len(ROLES)):
        some = networks[:]
        some.bits[:] = bits
        least = np.fmin(least, costs.by_block(some, "latency"))
    return np.asarray(fixed + least.sum(1))


def _within_reach(costs: NetworkCosts, at: Networks, free: tuple[str, ...]) -> float:
    """The latency to which some genes can bring a network, and a little more."""
    least, smallest = at[:], Networks.smallest(at.geometry)
    for gene in free:
        getattr(least, gene)[:] = getattr(smallest, gene)
    return 1.05 * float(costs.total(least.mended(), "latency")[0])
