"""APQ's evolution as it was published, a rival in `joint_search`.

Source: Wang et al., *APQ*, CVPR 2020: a population of 100, the best 25 are parents; each round 50
mutants (each block with probability .1) and 50 crossovers (block-wise uniform). Networks over the
limit, or invalid ones, are rejected and drawn again; the depth never mutates. The release's faults
(bits that the predictor does not see, half of the children dropped) are not copied.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bequest.evaluators.hardware.totals import NetworkCosts
from bequest.search.two_stage.once_for_all.population import crossover
from bequest.search.two_stage.once_for_all.sensitivity import Score
from bequest.spaces.elastic import BITS, KERNELS, ROLES
from bequest.spaces.elastic_genes import Networks, joined

POPULATION, PARENTS, CHILDREN = 100, 25, 100
MUTATION = 0.1
MOST_DRAWS = 3_000_000
"""Random networks that are drawn at most, until a population is feasible."""


class PublishedEvolution:
    """One search under one latency limit.

    Attributes:
        calls: Networks that were scored.
        drawn, rejected: Networks that were made, and those among them that were thrown away.
    """

    def __init__(self, costs: NetworkCosts, score: Score, limit: float, *, seed: int) -> None:
        self.costs = costs
        self.limit = limit
        self.calls = self.drawn = self.rejected = 0
        self._score = score
        self._rng = np.random.default_rng(seed)

    def run(self, rounds: int, seen: Callable[[Networks, np.ndarray], object]) -> bool:
        """Search; ``seen`` is told of all networks that are scored, and their scores.

        Returns:
            Whether a first population was found at all.
        """
        population = self._feasible(lambda n: _uniform(self.costs, n, self._rng), POPULATION)
        if population is None:
            return False
        scores = self._ask(population, seen)
        for _ in range(rounds):
            best = np.argsort(-scores)[:PARENTS]
            parents, kept = population[best], scores[best]
            half = CHILDREN // 2
            mutants = self._feasible(lambda n, p=parents: self._mutants(p, n), half)
            crossed = self._feasible(lambda n, p=parents: self._crossed(p, n), CHILDREN - half)
            assert mutants is not None
            assert crossed is not None
            children = joined([mutants, crossed])
            population = joined([parents, children])
            scores = np.concatenate([kept, self._ask(children, seen)])
        return True

    def _ask(
        self, networks: Networks, seen: Callable[[Networks, np.ndarray], object]
    ) -> np.ndarray:
        self.calls += len(networks)
        scores = self._score(networks)
        seen(networks, scores)
        return scores

    def _feasible(self, make: Callable[[int], Networks], count: int) -> Networks | None:
        """Draw until so many are within the limit."""
        found: list[Networks] = []
        have = draws = 0
        chunk = count
        while have < count:
            if draws >= MOST_DRAWS:
                return None
            made = make(chunk)
            fit = np.flatnonzero(self.costs.total(made, "latency") <= self.limit)
            draws += len(made)
            self.rejected += len(made) - len(fit)
            found.append(made[fit])
            have += len(fit)
            chunk = min(20_000, 2 * chunk)
        self.drawn += draws
        return joined(found)[:count]

    def _mutants(self, parents: Networks, count: int) -> Networks:
        rng = self._rng
        made = parents[rng.integers(len(parents), size=count)]
        fresh = _uniform(self.costs, count, rng)
        block = rng.random(made.kernel.shape) < MUTATION
        for name in ("kernel", "channels", "bits"):
            genes, new = getattr(made, name), getattr(fresh, name)
            genes[:] = np.where(block if genes.ndim == 2 else block[:, :, None], new, genes)
        return made

    def _crossed(self, parents: Networks, count: int) -> Networks:
        rng = self._rng
        first, second = (parents[rng.integers(len(parents), size=count)] for _ in range(2))
        child = crossover(first, second, rng)
        child.depth[:] = first.depth  # blocks cross, depths do not
        return child


def _uniform(costs: NetworkCosts, count: int, rng: np.random.Generator) -> Networks:
    """Uniform networks, invalid ones among them, as the release draws them."""
    made = Networks.sample(costs.geometry, count, rng)
    made.kernel[:] = rng.integers(len(KERNELS), size=made.kernel.shape)
    made.bits[:] = rng.integers(len(BITS), size=(*made.kernel.shape, len(ROLES)))
    return made
