"""Several sources at once: where the budget is known, the last ones are chosen together.

A source that is best alone may stand where two would stand better on either side of it. Given what
each source is expected to bring to each target, ``mu_ij`` with noise of deviation s, a plan P
raises V by ``mean_j E[max(v_j, max_{i in P} J_ij)] - v_j``. Noise is taken to be Gumbel's, of the
same mean and deviation: the largest of several is Gumbel's again, so that there is a closed form,

    T Ein(sum_{i in P} exp((mu_ij - v_j) / T - gamma)),   T = sqrt(6) s / pi,

``Ein(z) = E_1(z) + ln z + gamma`` (DLMF 6.2.3): sources enter a plan and leave it by a sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import exp1

WORTHWHILE = 1e-4
"""A source of a plan is replaced only if that raises the expected gain by this share: the optimum
is flat, and the predictions are not that exact."""

PASSES = 8
"""At most so many times every source of a plan is reconsidered."""

LARGEST = 300.0
"""Of exponents, so that sums of their exponentials stay finite."""

LOW, HIGH, RESOLUTION = -20.0, 12.0, 64
_EIN = exp1(np.exp(np.arange(LOW, HIGH, 1 / RESOLUTION)))
_EIN += np.arange(LOW, HIGH, 1 / RESOLUTION) + np.euler_gamma
"""``Ein(exp(x))``; below it is ``exp(x)``, above ``x + gamma``."""


def even_places(count: int) -> np.ndarray:
    """The middles of so many equal parts of [0, 1] ``[count]``."""
    middles: np.ndarray = (np.arange(count) + 0.5) / count
    return middles


def covering(candidates: np.ndarray, taken: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How much nearer to a source each candidate brings the targets ``[n]``: the sum of L1.

    Args:
        candidates: Points ``[n, d]``.
        taken: The sources' points ``[k, d]``.
        targets: Points ``[T, d]``.
    """

    def distances(points: np.ndarray) -> np.ndarray:
        total = np.zeros((len(points), len(targets)))
        for d in range(targets.shape[1]):
            total += np.abs(points[:, None, d] - targets[:, d])
        return total

    nearest = distances(taken).min(0)
    nearer: np.ndarray = (nearest - distances(candidates)).clip(min=0).sum(1)
    return nearer


def plan(
    ahead: np.ndarray, deviation: float, count: int, start: Sequence[int] | None = None
) -> list[int]:
    """The sources that together are expected to raise V most, by exchange.

    Args:
        ahead: How far each candidate is expected to exceed the best return on each target so far
            ``[n, T]``.
        deviation: Of a cell.
        count: How many sources are planned.
        start: The plan to begin with (more candidates than are needed: the best of them); by
            default it grows from nothing, the best source first.

    Returns:
        Indices of candidates; fewer than ``count`` where there are fewer.
    """
    temperature = max(np.sqrt(6) / np.pi * deviation, ahead.max() / LARGEST, 1e-12)
    exponents = (ahead / temperature - np.euler_gamma).clip(-LARGEST, LARGEST)
    weights = np.exp(exponents)
    count = min(count, len(weights))
    chosen = _grown(weights, [], count, start)
    chosen = _grown(weights, chosen, count, None)
    for _ in range(PASSES):
        before = sorted(chosen)
        for source in tuple(chosen):
            others = [i for i in chosen if i != source]
            raised = _raised(weights, others)
            best = int(raised.argmax())
            if raised[best] > (1 + WORTHWHILE) * raised[source]:
                source = best
            chosen = [*others, source]
        if sorted(chosen) == before:
            break
    return chosen


def _grown(
    weights: np.ndarray, chosen: list[int], count: int, pool: Sequence[int] | None
) -> list[int]:
    """A plan with the best sources of a pool added one after another."""
    while len(chosen) < (count if pool is None else min(count, len(pool))):
        raised = _raised(weights, chosen)
        if pool is not None:
            outside = np.ones(len(weights), dtype=bool)
            outside[list(pool)] = False
            raised[outside] = -np.inf
        chosen = [*chosen, int(raised.argmax())]
    return chosen


def _raised(weights: np.ndarray, chosen: list[int]) -> np.ndarray:
    """The gain of a plan with each candidate added ``[n]``, in units of the temperature."""
    logs = np.log(weights + weights[chosen].sum(0))
    places = ((logs - LOW) * RESOLUTION + 0.5).clip(0, len(_EIN) - 1).astype(np.intp)
    raised = np.where(logs > HIGH, logs + np.euler_gamma, _EIN.take(places)).mean(1)
    raised[chosen] = -np.inf
    return np.asarray(raised)
