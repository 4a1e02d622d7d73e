"""The predicted loss of accuracy by each small step towards a cheaper network.

Steps are one level fewer bits in one role of one block, one step fewer middle channels, one kernel
smaller, one block less in a stage. The losses are means over random networks, learned once before a
search, so that `repair` needs no predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....spaces.elastic import BITS, Geometry
from ....spaces.elastic_genes import INPUTS, SEVEN, Networks, joined

Score = Callable[[Networks], np.ndarray]
"""The scores of networks ``[n]``, higher is better."""

FLOOR = 0.05
"""The least loss of a step, as a share of the mean one: predictors also see gains in shrinking."""


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Predicted losses of steps, all positive.

    Attributes:
        bits: ``[b, 4, 3]``: from a level of `BITS` to the one below; the first column is unused.
        channels: ``[b]``: of one step.
        kernel: ``[b]``: of one kernel smaller.
        depth: ``[s]``: of one block less.
    """

    bits: np.ndarray
    channels: np.ndarray
    kernel: np.ndarray
    depth: np.ndarray


def learn(
    geometry: Geometry, score: Score, rng: np.random.Generator, count: int = 8
) -> Sensitivity:
    """Measure single steps from ``count`` random networks with a predictor."""
    at = Networks.sample(geometry, count, rng)
    at.depth[:] = geometry.blocks  # all blocks are there, so that each step counts
    for genes in (at.bits, at.channels, at.kernel):
        genes[:] = np.maximum(genes, 1)  # and no gene is at its end
    base = score(at)

    def losses(kind: str) -> np.ndarray:
        columns = range(getattr(at, kind).shape[1])
        return np.array([float((base - score(_stepped(at, kind, c))).mean()) for c in columns])

    bits = np.zeros((*at.bits.shape[1:], len(BITS)))
    for block, role in np.ndindex(*at.bits.shape[1:]):
        levels = [score(_fixed(at, block, role, level)).mean() for level in range(len(BITS))]
        bits[block, role, 1:] = np.diff(levels)
    depth = np.where(np.array(geometry.blocks) > 1, losses("depth"), 0.0)
    return Sensitivity(
        _positive(bits),
        _positive(losses("channels")),
        _positive(losses("kernel")),
        _positive(depth),
    )


def _stepped(at: Networks, kind: str, column: int) -> Networks:
    """Networks with one gene a step lower."""
    changed = joined([at])
    genes = getattr(changed, kind)
    genes[:, column] = np.maximum(genes[:, column] - 1, kind == "depth")
    return changed


def _fixed(at: Networks, block: int, role: int, level: int) -> Networks:
    """Networks with the bits of one role of one block at a level."""
    changed = joined([at])
    changed.bits[:, block, role] = level
    if (
        role == INPUTS and level == 0
    ):  # a kernel of 7 cannot: the next smaller one says what is lost
        changed.kernel[:, block] = np.minimum(changed.kernel[:, block], SEVEN - 1)
    return changed


def _positive(losses: np.ndarray) -> np.ndarray:
    typical = np.abs(losses).mean()
    return np.asarray(np.maximum(losses, FLOOR * typical + 1e-12))
