"""What few bits cost: a Gaussian process on quantised networks, from a prediction in float32.

Few quantised networks are measured, and what their bits cost is nearly a sum over layers: so a sum
of kernels, whose weights are those of the largest evidence, knows more from fifty networks than a
neural network that is fine-tuned on them. It models ``-log(1 - accuracy)``: errors multiply.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...spaces.elastic_encoding import encode
from ...spaces.elastic_genes import Networks
from .evidence import gaussian_terms
from .fit import minimise
from .kernels import squared_distances

NOISE = 1e-4
"""The least variance of a measurement, as a share of that of all."""

START, SHRINKAGE = -1.0, 0.02
"""Logarithm of each weight at the start, and how strongly weights are drawn towards 1."""

STEPS = 100
"""L-BFGS steps at most; it needs about twenty."""

LARGEST = 0.9999
"""Accuracies above count as this."""


@dataclass(frozen=True, eq=False)
class _Features:
    """Of ``n`` networks, one row each.

    Attributes:
        linear: Whose inner products are kernels: the prediction in float32 (or the architecture,
            where there is none), layers of few bits by role, bits of each layer.
        near: Whose distances make the exponential kernel.
    """

    linear: list[Tensor]
    near: Tensor

    @classmethod
    def of(cls, networks: Networks, floats: np.ndarray | None) -> _Features:
        exists = networks.there[:, :, None]
        few = np.stack([(networks.bits == level) & exists for level in (0, 1)], 1).astype(float)
        layers = torch.from_numpy(few.reshape(len(networks), -1))
        roles = torch.from_numpy(few.sum(2).reshape(len(networks), -1))
        if floats is not None:
            return cls([torch.from_numpy(floats[:, None]), roles, layers], layers)
        architecture = torch.from_numpy(encode(networks)[0].astype(float))
        return cls([architecture, roles, layers], torch.cat([architecture, layers], 1))


class BitsProcess:
    """A posterior over quantised networks' accuracies.

    Args:
        networks: Measured, ``[n]``.
        accuracies: ``[n]``.
        floats: Their predicted accuracies in float32 ``[n]``; ``None`` where there is no
            prediction.
    """

    def __init__(
        self, networks: Networks, accuracies: np.ndarray, floats: np.ndarray | None
    ) -> None:
        self._features = _Features.of(networks, floats)
        self._centres = [x.mean(0) for x in self._features.linear]
        self._scales = [
            max(float((x - c).square().sum(1).mean()), 1e-12)
            for x, c in zip(self._features.linear, self._centres, strict=True)
        ]
        near = self._features.near
        self._width = max(float(np.median(squared_distances(near, near).numpy())), 1e-12)
        self.condition(accuracies)

    def condition(self, accuracies: np.ndarray) -> None:
        """Observe the accuracies ``[n]`` of the measured networks: learn the kernels' weights."""
        y = -np.log1p(-np.minimum(accuracies, LARGEST))
        self._mean, self._deviation = float(y.mean()), max(float(y.std()), 1e-9)
        kernels = self._kernels(self._features)
        target = torch.from_numpy((y - self._mean) / self._deviation)
        self._weights = _largest_evidence(kernels, target)
        covariance = _covariance(kernels, self._weights)
        self.log_evidence = -float(sum(gaussian_terms(covariance, target)))
        self._cholesky = torch.linalg.cholesky(covariance)
        self._solved = torch.cholesky_solve(target[:, None], self._cholesky)[:, 0]

    def predict(
        self, networks: Networks, floats: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies and their standard deviations, ``[m]`` both."""
        features = _Features.of(networks, floats)
        cross = torch.tensordot(self._weights[:-1], self._kernels(features), 1)
        prior = self._weights[:-1] @ self._diagonals(features)
        mean = (self._mean + self._deviation * (cross @ self._solved)).numpy()
        explained = torch.linalg.solve_triangular(self._cholesky, cross.T, upper=False)
        left = (prior - explained.square().sum(0)).clip(min=1e-12)
        return 1 - np.exp(-mean), np.exp(-mean) * self._deviation * left.sqrt().numpy()

    def _kernels(self, features: _Features) -> Tensor:
        """Between some networks and the measured ones, ``[kernels, m, n]``."""
        linear = [
            (x - c) @ (y - c).T / s
            for x, y, c, s in zip(
                features.linear, self._features.linear, self._centres, self._scales, strict=True
            )
        ]
        distances = squared_distances(features.near, self._features.near)
        return torch.stack([*linear, (-distances / self._width).exp()])

    def _diagonals(self, features: _Features) -> Tensor:
        """Of some networks with themselves, ``[kernels, m]``."""
        linear = [
            (x - c).square().sum(1) / s
            for x, c, s in zip(features.linear, self._centres, self._scales, strict=True)
        ]
        return torch.stack([*linear, torch.ones(len(features.near), dtype=torch.float64)])


def _largest_evidence(kernels: Tensor, target: Tensor) -> Tensor:
    """The kernels' weights and the noise's of the largest evidence, ``[kernels + 1]``."""

    def loss(logs: Tensor) -> Tensor:
        half_log_determinant, half_distance = gaussian_terms(
            _covariance(kernels, logs.exp()), target
        )
        return half_distance + half_log_determinant + SHRINKAGE * logs.square().sum()

    start = np.full(len(kernels) + 1, START)
    logs = minimise(loss, start, [(-8.0, 4.0)] * len(start), STEPS)
    return torch.from_numpy(np.exp(logs))


def _covariance(kernels: Tensor, weights: Tensor) -> Tensor:
    """Of the measured networks ``[n, n]``."""
    identity = torch.eye(kernels.shape[-1], dtype=torch.float64)
    signal: Tensor = torch.tensordot(weights[:-1], kernels, 1)
    return signal + (weights[-1] + NOISE) * identity
