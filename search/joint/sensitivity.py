"""What a network is predicted to lose by each small step towards a cheaper one.

Steps are one level fewer bits in one role of one block, one step fewer middle channels, one kernel
smaller, one block less in a stage. The losses are means over random networks, learned once before a
search, so that repair (`repair`) asks the predictor nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...spaces.elastic import BITS, ROLES, Geometry
from ...spaces.elastic_genes import Networks, joined

Score = Callable[[Networks], np.ndarray]
"""Says of networks how good they are ``[n]``, higher is better."""

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
    """Ask a predictor about single steps from ``count`` random networks."""
    blocks, stages = len(geometry.all_blocks), len(geometry.blocks)
    at = Networks.sample(geometry, count, rng)
    at.depth[:] = geometry.blocks  # all blocks are there, so that each step counts
    at.bits[:] = np.maximum(at.bits, 1)
    at.channels[:] = np.maximum(at.channels, 1)
    at.kernel[:] = np.maximum(at.kernel, 1)
    base = score(at)

    def loss(change: Callable[[Networks], None]) -> float:
        changed = joined([at])
        change(changed)
        return float((base - score(changed.mended())).mean())

    bits = np.zeros((blocks, len(ROLES), len(BITS)))
    channels, kernel = np.zeros(blocks), np.zeros(blocks)
    for b in range(blocks):
        for role in range(len(ROLES)):
            levels = []
            for level in range(len(BITS)):

                def fix(
                    changed: Networks, b: int = b, role: int = role, level: int = level
                ) -> None:
                    changed.bits[:, b, role] = level
                    if level == 0:  # else mending would undo the step
                        changed.kernel[:, b] = np.minimum(changed.kernel[:, b], 1)

                levels.append(loss(fix))
            bits[b, role, 1:] = -np.diff(levels)
        channels[b] = loss(lambda changed, b=b: _lower(changed.channels, b))
        kernel[b] = loss(lambda changed, b=b: _lower(changed.kernel, b))
    depth = np.array(
        [
            loss(lambda changed, s=s: _lower(changed.depth, s)) if geometry.blocks[s] > 1 else 0.0
            for s in range(stages)
        ]
    )
    return Sensitivity(_positive(bits), _positive(channels), _positive(kernel), _positive(depth))


def _lower(genes: np.ndarray, column: int) -> None:
    genes[:, column] -= 1


def _positive(losses: np.ndarray) -> np.ndarray:
    typical = np.abs(losses).mean()
    return np.asarray(np.maximum(losses, FLOOR * typical + 1e-12))
