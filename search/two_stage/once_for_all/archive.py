"""The archive of a once-for-all search: networks that no other one beats in everything."""

from __future__ import annotations

import numpy as np

from ....spaces.elastic_genes import Networks, joined
from ...optuna_backend import nondomination_rank
from ...pareto import on_front


class Archive:
    """The networks that nothing dominates, over accuracy and costs.

    Args:
        most: A larger front is cut to the networks that are best in accuracy and one of the costs.

    Attributes:
        networks: ``[n]``, or ``None`` before the first.
        losses: ``[n, 1 + k]``: minus accuracy, then costs.
    """

    def __init__(self, most: int = 2_000) -> None:
        self.most = most
        self.networks: Networks | None = None
        self.losses = np.zeros((0, 0))

    def add(self, networks: Networks, accuracies: np.ndarray, costs: np.ndarray) -> None:
        """Add networks with accuracies ``[n]`` and costs ``[n, k]``."""
        losses = np.column_stack([-accuracies, costs])
        if self.networks is not None:
            new = ~_beaten(losses, self.losses)
            networks, losses = networks[new], losses[new]
        _, first = np.unique(losses, axis=0, return_index=True)
        fresh = np.sort(first[on_front(losses[first])])
        networks, losses = networks[fresh], losses[fresh]
        if self.networks is not None:
            old = ~_beaten(self.losses, losses)
            networks = joined([self.networks[old], networks])
            losses = np.concatenate([self.losses[old], losses])
        stays = np.arange(len(losses))
        if len(stays) > self.most:
            pairs = range(1, losses.shape[1])
            rank = np.min([nondomination_rank(losses[:, [0, k]]) for k in pairs], axis=0)
            stays = stays[np.argsort(rank, kind="stable")[: self.most]]
        self.networks, self.losses = networks[stays], losses[stays]

    def within(self, limits: np.ndarray) -> np.ndarray:
        """Indices of the networks whose costs are at most ``[k]``, most accurate first."""
        feasible = np.flatnonzero((self.losses[:, 1:] <= limits).all(1))
        order: np.ndarray = feasible[np.argsort(self.losses[feasible, 0], kind="stable")]
        return order


def _beaten(losses: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Which rows of ``[n, k]`` some row of ``[m, k]`` dominates or equals: ``[n]`` bool."""
    better = np.ones((len(losses), len(by)), dtype=bool)
    for column, other in zip(losses.T, by.T, strict=True):
        better &= other <= column[:, None]
    return np.asarray(better.any(1))
