"""How networks breed: who may be a parent, mutation, crossover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....spaces.elastic_genes import Networks, joined


@dataclass(frozen=True, eq=False)
class Pool:
    """Networks that may breed, with scores ``[n]`` and limited costs ``[n, k]``."""

    networks: Networks
    scores: np.ndarray
    costs: np.ndarray

    def joined(self, other: Pool) -> Pool:
        """Both together."""
        return Pool(
            joined([self.networks, other.networks]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.costs, other.costs]),
        )

    def best(self, goals: np.ndarray, count: int) -> Pool:
        """Those alone that are among the best of some target."""
        kept = np.unique(np.concatenate([self._meeting(goal)[:count] for goal in goals]))
        return Pool(self.networks[kept], self.scores[kept], self.costs[kept])

    def fit_for(self, goal: np.ndarray, count: int) -> np.ndarray:
        """The best for a target; all, where nothing meets it yet."""
        fit = self._meeting(goal)[:count]
        return fit if len(fit) else np.arange(len(self.scores))

    def _meeting(self, goal: np.ndarray) -> np.ndarray:
        fit = np.flatnonzero((self.costs <= goal * (1 + 1e-9)).all(1))
        order: np.ndarray = fit[np.argsort(-self.scores[fit], kind="stable")]
        return order


def mutate(networks: Networks, chance: float, rng: np.random.Generator) -> Networks:
    """Copies in which each block, and each depth, mutates with a chance.

    Each gene of a block that mutates is drawn anew with a chance of a half, so that small changes
    happen, too.
    """
    fresh = Networks.sample(networks.geometry, len(networks), rng)
    block = rng.random(networks.kernel.shape) < chance
    made = joined([networks])
    for name in ("kernel", "channels", "bits"):
        genes, new = getattr(made, name), getattr(fresh, name)
        where = block if genes.ndim == 2 else block[:, :, None]
        where = where & (rng.random(genes.shape) < 0.5)
        genes[:] = np.where(where, new, genes)
    depth = rng.random(made.depth.shape) < chance
    made.depth[:] = np.where(depth, fresh.depth, made.depth)
    return made


def crossover(first: Networks, second: Networks, rng: np.random.Generator) -> Networks:
    """Children whose blocks, and depths, come from either parent."""
    block = rng.random(first.kernel.shape) < 0.5
    depth = rng.random(first.depth.shape) < 0.5
    return Networks(
        first.geometry,
        np.where(depth, first.depth, second.depth),
        np.where(block, first.kernel, second.kernel),
        np.where(block, first.channels, second.channels),
        np.where(block[:, :, None], first.bits, second.bits),
    )
