"""The similarity of tasks: by the scores of shared designs, and from fingerprints.

Cao et al., *AutoTransfer* (ICLR 2023): Kendall's tau between scores is what similarity means; a
projection of fingerprints, trained with a triplet margin loss on the bank's tasks, predicts it for
a task without scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from scipy.stats import kendalltau, rankdata
from torch import Tensor, nn

from ..common.errors import BankError
from ..common.threads import one_thread
from .scores import Scores

SIZE, HIDDEN = 16, 64
"""Width of the projection, and of the layer before it."""

MARGIN, STEPS, TRIPLES = 0.1, 1_000, 128
MOST_ALIKE = 0.9
"""The predicted similarity of the most similar task; that of the least similar one is 0."""

LEARNING_RATE, DECAY = 1e-4, 5e-3


def kendall_matrix(scores: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each two tasks' scores on the designs that both have.

    Args:
        scores: ``[tasks, designs]``, higher is better; NaN where there is none.

    Returns:
        ``[tasks, tasks]``, symmetric, 1 on the diagonal; NaN where fewer than two designs are
        shared or one of the tasks scores them all alike.
    """
    count = len(scores)
    tau = np.eye(count)
    for i in range(count):
        for j in range(i):
            shared = ~np.isnan(scores[i]) & ~np.isnan(scores[j])
            tau[i, j] = tau[j, i] = _tau(scores[i, shared], scores[j, shared])
    return tau


def _tau(first: np.ndarray, second: np.ndarray) -> float:
    # SciPy gives NaN in these cases, too, but not without a warning.
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(kendalltau(first, second).statistic)


def anchors(scores: np.ndarray, count: int) -> np.ndarray:
    """Designs that spread over the range of quality: the median one of each of ``count`` slices.

    Designs are ranked by their mean rank over the tasks; a rank is a share of what the task has
    scored, so that a task with few designs says no less. One that no task has scored is left out.

    Args:
        scores: ``[tasks, designs]``, higher is better; NaN where there is none.
        count: How many anchors are wanted.

    Returns:
        ``[count]`` int64 columns of ``scores``, best first.

    Raises:
        BankError: There are fewer designs than anchors.
    """
    scored = ~np.isnan(scores)
    ranks = np.array([_shares(row) for row in scores])
    candidates = np.flatnonzero(scored.any(axis=0))
    if len(candidates) < count:
        raise BankError(f"{count} anchors of {len(candidates)} scored designs: ask for fewer")
    means = np.nansum(ranks[:, candidates], axis=0) / scored[:, candidates].sum(axis=0)
    order = candidates[np.argsort(-means, kind="stable")]
    return np.array([part[len(part) // 2] for part in np.array_split(order, count)])


def _shares(row: np.ndarray) -> np.ndarray:
    """Ranks between 0 and 1; NaN stays."""
    scored = ~np.isnan(row)
    ranks = np.full(len(row), np.nan)
    ranks[scored] = (rankdata(row[scored]) - 0.5) / max(1, scored.sum())
    return ranks


class Projection:
    """Maps fingerprints so that inner products order tasks by similarity.

    ``Linear-ReLU-Linear`` on fingerprints standardised over the bank, the output of unit length.
    With tau_ab >= tau_ac, the loss of a triple is ``max(0, .1 - (<g_a, g_b> - <g_a, g_c>))``.

    Args:
        seed: Decides initialisation and triples.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> fingerprints = rng.normal(size=(5, 12))
        >>> tau = kendall_matrix(rng.normal(size=(5, 30)))
        >>> Projection().fit(fingerprints, tau)(fingerprints).shape
        (5, 16)
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, fingerprints: np.ndarray, tau: np.ndarray) -> Projection:
        """Learn from the tasks of a bank.

        Args:
            fingerprints: ``[tasks, anchors]``.
            tau: ``[tasks, tasks]``; triples with a NaN are left out.

        Raises:
            BankError: No three tasks can be compared.
        """
        triples = _triples(tau)
        if not len(triples):
            raise BankError("a projection needs three tasks with shared designs: it has none")
        self._mean = fingerprints.mean(axis=0)
        deviation = fingerprints.std(axis=0)
        self._deviation = np.where(deviation > 0, deviation, 1.0)
        x = self._standardised(fingerprints)
        rng = np.random.default_rng(self.seed)
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            self._network = _network(x.shape[1])
            optimizer = torch.optim.Adam(
                self._network.parameters(), LEARNING_RATE, weight_decay=DECAY
            )
            for _ in range(STEPS):
                a, b, c = triples[rng.integers(len(triples), size=TRIPLES)].T
                out = self._project(x)
                gain = (out[a] * (out[b] - out[c])).sum(dim=1)
                optimizer.zero_grad()
                (MARGIN - gain).clamp(min=0).mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return self

    @torch.no_grad()
    def __call__(self, fingerprints: np.ndarray) -> np.ndarray:
        """Vectors of length 1 ``[tasks, 16]`` of fingerprints ``[tasks, anchors]``."""
        return self._project(self._standardised(fingerprints)).numpy()

    def _standardised(self, fingerprints: np.ndarray) -> Tensor:
        return torch.from_numpy((fingerprints - self._mean) / self._deviation).float()

    def _project(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self._network(x), dim=1)


def predicted_similarity(
    scores: Scores, fingerprints_of: Mapping[str, np.ndarray], new: np.ndarray
) -> dict[str, float]:
    """The similarity of a task without scores to each task of a bank.

    The projection is learned from the bank's tasks. Its inner products serve for comparisons only,
    so they are scaled: the least similar task has 0, the most similar one .9.

    Args:
        scores: The bank's scores of a space.
        fingerprints_of: Their fingerprints ``[n]`` by name; tasks without one are left out.
        new: The new task's.

    Returns:
        Similarities by name; empty where the bank has nothing to learn from.
    """
    rows = [i for i, task in enumerate(scores.tasks) if task.name in fingerprints_of]
    tau = kendall_matrix(scores.values[rows])
    if len(rows) < 3 or not len(_triples(tau)):
        return {}
    names = [scores.tasks[i].name for i in rows]
    fingerprints = np.stack([fingerprints_of[name] for name in names])
    projection = Projection().fit(fingerprints, tau)
    inner = projection(fingerprints) @ projection(new[None])[0]
    low, high = inner.min(), inner.max()
    if high - low < 1e-9:  # all tasks have the same fingerprint
        return {}
    alike = MOST_ALIKE * (inner - low) / (high - low)
    return dict(zip(names, alike.tolist(), strict=True))


def _network(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, SIZE))


def _triples(tau: np.ndarray) -> np.ndarray:
    """All distinct (a, b, c) with tau_ab >= tau_ac, ``[triples, 3]``."""
    count = len(tau)
    grid = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    a, b, c = grid.T
    with np.errstate(invalid="ignore"):
        ordered = (a != b) & (a != c) & (b != c) & (tau[a, b] >= tau[a, c])
    return cast(np.ndarray, grid[ordered])
