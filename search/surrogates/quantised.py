"""What few bits cost: a Gaussian process on quantised networks, from a prediction in float32.

Few quantised networks are measured, and what their bits cost is nearly a sum over layers: so a sum
of kernels, whose weights are those of the largest evidence, knows more from fifty networks than a
neural network that is fine-tuned on them. It models ``-log(1 - accuracy)``: errors multiply.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from ...spaces.elastic_encoding import encode
from ...spaces.elastic_genes import Networks

NOISE = 1e-4
"""The least variance of a measurement, as a share of that of all."""

START, SHRINKAGE = -1.0, 0.02
"""Logarithm of each weight at the start, and how strongly weights are held near 1."""

LARGEST = 0.9999
"""Accuracies above count as this."""


@dataclass(frozen=True, eq=False)
class _Features:
    """Of ``n`` networks, one row each.

    Attributes:
        linear: Whose products are kernels: the prediction in float32 (or the architecture, where
            there is none), layers of few bits by role, bits of each layer.
        near: Whose distances are one.
    """

    linear: list[np.ndarray]
    near: np.ndarray

    @classmethod
    def of(cls, networks: Networks, floats: np.ndarray | None) -> _Features:
        there = networks.there[:, :, None]
        few = np.stack([(networks.bits == level) & there for level in (0, 1)], 1).astype(float)
        layers = few.reshape(len(networks), -1)
        roles = few.sum(2).reshape(len(networks), -1)
        if floats is not None:
            return cls([floats[:, None], roles, layers], layers)
        architecture = encode(networks)[0].astype(float)
        return cls([architecture, roles, layers], np.column_stack([architecture, layers]))


class BitsProcess:
    """A posterior over quantised networks' accuracies.

    Args:
        networks: Measured, ``[n]``.
        accuracies: ``[n]``.
        floats: Their predicted accuracies in float32 ``[n]``; ``None`` where nothing is known.
    """

    def __init__(
        self, networks: Networks, accuracies: np.ndarray, floats: np.ndarray | None
    ) -> None:
        self._features = _Features.of(networks, floats)
        self._centres = [x.mean(0) for x in self._features.linear]
        self._scales = [
            max(float(np.square(x - c).sum(1).mean()), 1e-12)
            for x, c in zip(self._features.linear, self._centres, strict=True)
        ]
        self._width = max(float(np.median(_distances(*[self._features.near] * 2))), 1e-12)
        y = -np.log1p(-np.minimum(accuracies, LARGEST))
        self._mean, self._deviation = float(y.mean()), max(float(y.std()), 1e-9)
        kernels = self._kernels(self._features)
        target = (y - self._mean) / self._deviation
        self._weights = _evident(kernels, target)
        self._factor = _factor(kernels, self._weights)
        self._solved = cho_solve((self._factor, True), target)

    def predict(
        self, networks: Networks, floats: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies and their standard deviations, ``[n]`` both."""
        features = _Features.of(networks, floats)
        cross = np.tensordot(self._weights[:-1], self._kernels(features), 1)
        own = self._weights[:-1] @ self._diagonals(features)
        mean = self._mean + self._deviation * (cross @ self._solved)
        explained = (cross.T * cho_solve((self._factor, True), cross.T)).sum(0)
        deviation = self._deviation * np.sqrt(np.maximum(own - explained, 1e-12))
        return 1 - np.exp(-mean), np.exp(-mean) * deviation

    def _kernels(self, features: _Features) -> np.ndarray:
        """Between some networks and the measured ones, ``[kernels, m, n]``."""
        found = [
            (x - c) @ (y - c).T / s
            for x, y, c, s in zip(
                features.linear, self._features.linear, self._centres, self._scales, strict=True
            )
        ]
        distances = _distances(features.near, self._features.near)
        return np.stack([*found, np.exp(-distances / self._width)])

    def _diagonals(self, features: _Features) -> np.ndarray:
        """Of some networks with themselves, ``[kernels, m]``."""
        found = [
            np.square(x - c).sum(1) / s
            for x, c, s in zip(features.linear, self._centres, self._scales, strict=True)
        ]
        return np.stack([*found, np.ones(len(features.near))])


def _evident(kernels: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The kernels' weights and the noise's of the largest evidence, ``[kernels + 1]``."""

    def loss(logs: np.ndarray) -> float:
        factor = _factor(kernels, np.exp(logs))
        solved = cho_solve((factor, True), target)
        evidence = 0.5 * target @ solved + np.log(np.diag(factor)).sum()
        return float(evidence + SHRINKAGE * np.square(logs).sum())

    start = np.full(len(kernels) + 1, START)
    bounds = [(-8.0, 4.0)] * len(start)
    return np.asarray(np.exp(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x))


def _factor(kernels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor of the measured networks' covariance."""
    covariance = np.tensordot(weights[:-1], kernels, 1)
    covariance[np.diag_indices_from(covariance)] += weights[-1] + NOISE
    return np.asarray(cholesky(covariance, lower=True))


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances ``[m, n]``."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)
    return np.asarray(np.maximum(squares - 2 * x @ y.T, 0.0))
