"""Bring networks under their limits by the steps that save most for the least predicted loss.

Costs are sums over blocks, so what a step saves is known exactly. Bits are lowered first, then
channels and kernels, then depth: each kind in the order of what is saved (as a share of what is too
much) per predicted loss. A little noise in the order keeps children different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...evaluators.hardware.totals import NetworkCosts
from ...spaces.elastic_genes import GENES, INPUTS, SEVEN, Networks, joined
from .sensitivity import Sensitivity

KINDS = (("bits",), ("channels", "kernel"), ("depth",))
"""What is lowered, one group after the other."""

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
        made = joined([networks.mended()])
        for _ in range(ROUNDS):
            excess = self.costs(made, self.names) / limits - 1
            rows = np.flatnonzero((excess > 0).any(1))
            if not len(rows):
                break
            changed, moved = self._step(made[rows], excess[rows], limits[rows], rng)
            _put(made, rows, changed)
            if not moved:
                break  # the smallest network of all is still too dear
        return made

    def _step(
        self,
        networks: Networks,
        excess: np.ndarray,
        limits: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[Networks, bool]:
        """Take steps of the first kind that saves anything, about as many as the excess wants."""
        made = networks
        open_rows = np.ones(len(made), dtype=bool)
        for group in filter(len, self.kinds):
            worst = excess.argmax(1)
            savings, losses, steps = self._moves(made, group, worst, limits)
            useful = (savings > 0) & open_rows[:, None]
            order = savings / losses * np.exp(self.noise * rng.standard_normal(savings.shape))
            order = np.where(useful, order, -1.0)
            rank = np.argsort(-order, axis=1)
            sorted_savings = np.take_along_axis(np.where(useful, savings, 0.0), rank, 1)
            before = np.cumsum(sorted_savings, 1) - sorted_savings
            needed = before < excess[np.arange(len(made)), worst][:, None]
            taken = np.zeros_like(useful)
            np.put_along_axis(taken, rank, needed, 1)
            taken &= useful
            made = _lowered(made, group, taken * steps)
            open_rows &= ~taken.any(1)
        return made.mended(), not open_rows.all()

    def _moves(
        self, networks: Networks, group: Sequence[str], worst: np.ndarray, limits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What lowering each gene saves of the worst cost, as a share of its limit; what it loses.

        Returns:
            Savings, losses, and by how many levels: ``[n, m]`` each. Bits may fall by two levels at
            once, where that saves more for its loss: accelerators reward some single levels with
            nothing.
        """
        found = []
        for kind in group:
            best = self._lowering(networks, kind, 1, worst, limits)
            if kind == "bits":
                deeper = self._lowering(networks, kind, 2, worst, limits)
                better = deeper[0] / deeper[1] > best[0] / best[1]
                best = tuple(np.where(better, d, b) for d, b in zip(deeper, best, strict=True))
            found.append(best)
        savings, losses, steps = (np.concatenate(parts, 1) for parts in zip(*found, strict=True))
        return savings, losses, steps

    def _lowering(
        self, networks: Networks, kind: str, steps: int, worst: np.ndarray, limits: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        losses = self._losses(networks, kind, steps)
        savings = np.zeros(losses.shape)
        for k, name in enumerate(self.names):
            rows = np.flatnonzero(worst == k)
            if len(rows):
                saved = self._saved(networks[rows], kind, steps, name)
                savings[rows] = saved / limits[rows, k][:, None]
        return savings, losses, np.full(losses.shape, steps)

    def _losses(self, networks: Networks, kind: str, steps: int) -> np.ndarray:
        if kind != "bits":
            one: np.ndarray = getattr(self.sensitivity, kind)
            return np.broadcast_to(one, (len(networks), len(one)))
        by_level = self.sensitivity.bits.reshape(-1, self.sensitivity.bits.shape[2])
        level = networks.bits.reshape(len(networks), -1)
        genes = np.arange(len(by_level))
        return np.asarray(
            sum(by_level[genes, np.maximum(level - step, 0)] for step in range(steps))
        )

    def _saved(self, networks: Networks, kind: str, steps: int, name: str) -> np.ndarray:
        """What lowering each gene by some steps saves ``[n, m]``; 0 where that cannot be."""
        now = self.costs.by_block(networks, name)
        if kind == "depth":
            return self._saved_by_depth(networks, now)
        genes = getattr(networks, kind)
        if kind != "bits":
            return _saving(now, self.costs.by_block(_down(networks, kind), name), genes > 0)
        found = np.zeros(genes.shape)
        for role in range(genes.shape[2]):
            can = genes[:, :, role] >= steps
            if role == INPUTS:
                can &= (networks.kernel != SEVEN) | (genes[:, :, role] > steps)
            lowered = _down(networks, kind, role, steps)
            found[:, :, role] = _saving(now, self.costs.by_block(lowered, name), can)
        return found.reshape(len(networks), -1)

    def _saved_by_depth(self, networks: Networks, now: np.ndarray) -> np.ndarray:
        geometry = networks.geometry
        found = np.zeros(networks.depth.shape)
        for stage in range(len(geometry.blocks)):
            least = geometry.depths(stage)[0]
            columns = [i for i, block in enumerate(geometry.all_blocks) if block.stage == stage]
            last = np.take_along_axis(now[:, columns], networks.depth[:, [stage]] - 1, 1)[:, 0]
            found[:, stage] = np.where(networks.depth[:, stage] > least, last, 0.0)
        return found


def _saving(now: np.ndarray, then: np.ndarray, can: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(can, np.nan_to_num(now - then), 0.0))


def _down(networks: Networks, kind: str, role: int | None = None, steps: int = 1) -> Networks:
    """All genes of a kind (of bits: of one role) some steps lower, where they can be."""
    made = joined([networks])
    genes = getattr(made, kind)
    view = genes if role is None else genes[:, :, role]
    view[:] = np.maximum(view - steps, 0)
    return made


def _lowered(networks: Networks, group: Sequence[str], taken: np.ndarray) -> Networks:
    made = joined([networks])
    start = 0
    for kind in group:
        genes = getattr(made, kind)
        columns = genes.reshape(len(made), -1).shape[1]
        genes -= taken[:, start : start + columns].reshape(genes.shape)
        start += columns
    return made


def _put(networks: Networks, rows: np.ndarray, changed: Networks) -> None:
    for name in GENES:
        getattr(networks, name)[rows] = getattr(changed, name)
