"""Bring networks under their limits by the steps that save most for the least predicted loss.

Costs are sums over blocks, so the saving of a step is known exactly. Bits are lowered first, then
channels and kernels, then depth: each kind in the order of the saving (as a share of the excess)
per predicted loss. A little noise in the order keeps children different. Fewer bits are not always
cheaper (in BitFusion's table the least energy is not that of 4 bits): when no step saves anything
any more, blocks get the bits that cost least, once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....evaluators.hardware.totals import NetworkCosts
from ....spaces.elastic import BITS
from ....spaces.elastic_genes import GENES, INPUTS, SEVEN, Networks, joined
from .sensitivity import Sensitivity

KINDS = (("bits",), ("channels", "kernel"), ("depth",))
"""The kinds of genes that are lowered, one group after the other."""

TINY = 1e-12

ROUNDS = 400
"""More rounds than steps to the smallest network: a bound, never met."""


@dataclass(frozen=True, eq=False)
class Repair:
    """Makes networks feasible.

    Attributes:
        costs: What networks cost.
        names: The costs that are limited.
        sensitivity: What steps lose.
        noise: Deviation of the logarithm of the noise in the order of steps.
        kinds: What is lowered, one group after the other.
    """

    costs: NetworkCosts
    names: Sequence[str]
    sensitivity: Sensitivity
    noise: float = 0.5
    kinds: Sequence[Sequence[str]] = KINDS

    def __call__(
        self, networks: Networks, limits: np.ndarray, rng: np.random.Generator
    ) -> Networks:
        """Feasible networks, where the limits allow any.

        Args:
            networks: ``[n]``.
            limits: ``[n, k]``, of each of ``names``.
            rng: Of the noise.
        """
        repaired = joined([networks.mended()])
        raised = np.array(["bits" not in itertools.chain(*self.kinds)] * len(repaired))
        for _ in range(ROUNDS):
            excess = self.costs(repaired, self.names) / limits - 1
            rows = np.flatnonzero((excess > 0).any(1))
            if not len(rows):
                break
            changed, stuck = self._step(repaired[rows], excess[rows], limits[rows], rng)
            _put(repaired, rows, changed)
            if stuck.all() and raised[rows].all():
                break  # nothing saves any more
            last = rows[stuck & ~raised[rows]]
            if len(last):
                _put(repaired, last, self._cheapest_bits(repaired[last], limits[last]))
                raised[last] = True
        return repaired

    def _step(
        self,
        networks: Networks,
        excess: np.ndarray,
        limits: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[Networks, np.ndarray]:
        """Take steps of the first kind that saves anything, about as many as the excess needs.

        Returns:
            The networks, and where nothing saved anything ``[n]``.
        """
        stepped, open_rows = networks, np.arange(len(networks))
        for group in filter(len, self.kinds):
            part, over = stepped[open_rows], excess[open_rows]
            worst = over.argmax(1)
            savings, losses, steps = self._moves(part, group, worst, limits[open_rows])
            order = savings / losses * np.exp(self.noise * rng.standard_normal(savings.shape))
            rank = np.argsort(-np.where(savings > 0, order, -1.0), axis=1)
            ranked = np.take_along_axis(np.maximum(savings, 0.0), rank, 1)
            before = np.cumsum(ranked, 1) - ranked
            needed = before < over[np.arange(len(part)), worst][:, None]
            taken = np.zeros(savings.shape, dtype=bool)
            np.put_along_axis(taken, rank, needed, 1)
            taken &= savings > 0
            _put(stepped, open_rows, _lowered(part, group, taken * steps))
            open_rows = open_rows[~taken.any(1)]
            if not len(open_rows):
                break
        stuck = np.zeros(len(networks), dtype=bool)
        stuck[open_rows] = True
        return stepped.mended(), stuck

    def _cheapest_bits(self, networks: Networks, limits: np.ndarray) -> Networks:
        """Blocks with the bits that cost least, as shares of the limits; as few as are needed."""

        def shares(tried: Networks) -> np.ndarray:
            costs = [self.costs.by_block(tried, name) for name in self.names]
            parts = [cost / limits[:, [k]] for k, cost in enumerate(costs)]
            return np.asarray(np.nan_to_num(np.sum(parts, axis=0), nan=np.inf))

        best = joined([networks])
        before = least = shares(best)
        for pair in ([0, 1], [2, 3]):  # weights and inputs of one kind of layers: costs add
            bits = best.bits.copy()
            for levels in itertools.product(range(len(BITS)), repeat=2):
                tried = joined([best])
                tried.bits[:, :, pair] = levels
                cost = shares(tried)
                cheaper = cost < least
                bits[cheaper] = tried.bits[cheaper]
                least = np.where(cheaper, cost, least)
            best.bits[:] = bits
        cheaper_networks = joined([networks])
        for column in np.argsort(least - before, axis=1).T:  # what saves most first
            rows = np.flatnonzero((self.costs(cheaper_networks, self.names) > limits).any(1))
            cheaper_networks.bits[rows, column[rows]] = best.bits[rows, column[rows]]
        return cheaper_networks

    def _moves(
        self, networks: Networks, group: Sequence[str], worst: np.ndarray, limits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What lowering each gene saves of the worst cost, as a share of its limit; what it loses.

        Returns:
            Savings, losses, and by how many levels: ``[n, m]`` each. Bits may fall by two levels at
            once, where that saves more for its loss: accelerators reward some single levels with
            nothing.
        """
        parts = []
        for kind in group:
            one = np.ones(getattr(networks, kind).shape, dtype=np.int64)
            # A quarter of the way for channels: there may be fifty steps to the fewest.
            steps = np.maximum(one, networks.channels // 4) if kind == "channels" else one
            best = self._lowering(networks, kind, steps, worst, limits)
            if kind == "bits":
                deeper = self._lowering(networks, kind, 2 * one, worst, limits)
                better = deeper[0] / deeper[1] > best[0] / best[1]
                best = tuple(np.where(better, d, b) for d, b in zip(deeper, best, strict=True))
            parts.append(best)
        savings, losses, steps = (np.concatenate(parts, 1) for parts in zip(*parts, strict=True))
        return savings, losses, steps

    def _lowering(
        self,
        networks: Networks,
        kind: str,
        steps: np.ndarray,
        worst: np.ndarray,
        limits: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        losses = self._losses(networks, kind, steps)
        savings = np.zeros(losses.shape)
        for k, name in enumerate(self.names):
            rows = np.flatnonzero(worst == k)
            if len(rows):
                saved = self._saved(networks[rows], kind, steps[rows], name)
                savings[rows] = saved / limits[rows, k][:, None]
        return savings, losses, steps.reshape(losses.shape)

    def _losses(self, networks: Networks, kind: str, steps: np.ndarray) -> np.ndarray:
        if kind != "bits":
            return np.asarray(steps * getattr(self.sensitivity, kind))
        below = np.cumsum(self.sensitivity.bits, 2).reshape(-1, len(BITS))
        level, genes = networks.bits.reshape(len(networks), -1), np.arange(len(below))
        then = np.maximum(level - steps.reshape(level.shape), 0)
        # No step, no loss: there the saving is 0 as well, and only their ratio counts.
        return np.asarray(np.maximum(below[genes, level] - below[genes, then], TINY))

    def _saved(self, networks: Networks, kind: str, steps: np.ndarray, name: str) -> np.ndarray:
        """What lowering each gene by some steps saves ``[n, m]``; 0 where that cannot be."""
        now = self.costs.by_block(networks, name)
        if kind == "depth":
            return self._saved_by_depth(networks, now)
        genes = getattr(networks, kind)
        if kind != "bits":
            lowered = _down(networks, kind, steps)
            return _saving(now, self.costs.by_block(lowered, name), genes > 0)
        can = genes >= steps
        inputs = (networks.kernel != SEVEN) | (genes[:, :, INPUTS] > steps[:, :, INPUTS])
        can[:, :, INPUTS] &= inputs
        # One look at the costs for all roles: small arrays cost by the call.
        roles = range(genes.shape[2])
        lowered = joined([_down(networks, kind, steps[:, :, role], role) for role in roles])
        then = self.costs.by_block(lowered, name).reshape(len(roles), *now.shape)
        return _saving(now[:, :, None], np.moveaxis(then, 0, 2), can).reshape(len(networks), -1)

    def _saved_by_depth(self, networks: Networks, now: np.ndarray) -> np.ndarray:
        geometry = networks.geometry
        savings = np.zeros(networks.depth.shape)
        for stage in range(len(geometry.blocks)):
            least = geometry.depths(stage)[0]
            columns = [i for i, block in enumerate(geometry.all_blocks) if block.stage == stage]
            last = np.take_along_axis(now[:, columns], networks.depth[:, [stage]] - 1, 1)[:, 0]
            savings[:, stage] = np.where(networks.depth[:, stage] > least, last, 0.0)
        return savings


def _saving(now: np.ndarray, then: np.ndarray, can: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(can, np.nan_to_num(now - then), 0.0))


def _down(networks: Networks, kind: str, steps: np.ndarray, role: int | None = None) -> Networks:
    """All genes of a kind (of bits: of one role) some steps lower, where they can be."""
    lowered = joined([networks])
    genes = getattr(lowered, kind)
    view = genes if role is None else genes[:, :, role]
    view[:] = np.maximum(view - steps, 0)
    return lowered


def _lowered(networks: Networks, group: Sequence[str], taken: np.ndarray) -> Networks:
    lowered = joined([networks])
    start = 0
    for kind in group:
        genes = getattr(lowered, kind)
        columns = genes.reshape(len(lowered), -1).shape[1]
        genes -= taken[:, start : start + columns].reshape(genes.shape)
        start += columns
    return lowered


def _put(networks: Networks, rows: np.ndarray, changed: Networks) -> None:
    for name in GENES:
        getattr(networks, name)[rows] = getattr(changed, name)
