"""The operators of evolution: selection of parents, mutation, crossover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....spaces.elastic_genes import Networks, joined


@dataclass(frozen=True, eq=False)
class Pool:
    """Possible parents, with scores ``[n]`` and limited costs ``[n, k]``."""

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
        """The best ``count`` of each target."""
        parents = np.unique(np.concatenate([self._meeting(goal)[:count] for goal in goals]))
        return Pool(self.networks[parents], self.scores[parents], self.costs[parents])

    def fit_for(self, goal: np.ndarray, count: int) -> np.ndarray:
        """Indices of the best for a target; of all networks while none meets it."""
        fit = self._meeting(goal)[:count]
        return fit if len(fit) else np.arange(len(self.scores))

    def _meeting(self, goal: np.ndarray) -> np.ndarray:
        fit = np.flatnonzero((self.costs <= goal * (1 + 1e-9)).all(1))
        order: np.ndarray = fit[np.argsort(-self.scores[fit], kind="stable")]
        return order


def mutate(networks: Networks, chance: float, rng: np.random.Generator) -> Networks:
    """Copies in which each block, and each depth, mutates with a chance.

    Each gene of a mutating block is drawn anew with a chance of a half, so that there are small
    changes, too.
    """
    fresh = Networks.sample(networks.geometry, len(networks), rng)
    block = rng.random(networks.kernel.shape) < chance
    mutants = joined([networks])
    for name in ("kernel", "channels", "bits"):
        genes, new = getattr(mutants, name), getattr(fresh, name)
        where = block if genes.ndim == 2 else block[:, :, None]
        where = where & (rng.random(genes.shape) < 0.5)
        genes[:] = np.where(where, new, genes)
    depth = rng.random(mutants.depth.shape) < chance
    mutants.depth[:] = np.where(depth, fresh.depth, mutants.depth)
    return mutants


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
