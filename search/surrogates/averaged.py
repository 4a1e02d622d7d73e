"""A Gaussian process under a grid of settings, averaged by their evidence.

``y(x) = m(x) + f(x) + noise``, ``f ~ GP(0, s k)``, ``s ~ inverse gamma``. A subclass says what the
settings are: kernels, means and noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from .acquisition import log_expected_improvement
from .evidence import student_posterior

NEGLIGIBLE = 0.01
"""A setting with less of the evidence than this is left out of predictions."""


class Inputs(Protocol):
    """Points at which a process is observed or asked."""

    def __len__(self) -> int: ...


X = TypeVar("X", bound=Inputs)


class AveragedProcess(ABC, Generic[X]):
    """The process under ``b`` settings.

    Attributes:
        x, y: What is observed: inputs ``[n]`` and values ``[b, n]``.
        log_evidence: Of each setting ``[b]``.
        log_shares: The settings' shares of the evidence, as logarithms ``[b]``.
        cholesky, weights, variance: See `evidence.Posterior`.
    """

    x: X
    y: Tensor

    @torch.no_grad()
    def __init__(self, x: X, y: Tensor) -> None:
        """Condition on values ``[n]``; leave out settings that explain them badly."""
        self.condition(x, y.expand(len(self.noise), -1))
        shares = self.log_evidence.softmax(0)
        chosen = (shares >= NEGLIGIBLE).nonzero().view(-1)
        self.log_shares = shares[chosen].log()
        if len(chosen) < len(shares):
            self.keep_settings(chosen)
            self.condition(x, y.expand(len(chosen), -1))

    # What a subclass brings -----------------------------------------------------------------------

    @property
    @abstractmethod
    def noise(self) -> Tensor:
        """The noise variance under each setting ``[b]``, in units of the signal's."""

    @abstractmethod
    def keep_settings(self, chosen: Tensor) -> None:
        """Go on with the settings of these indices alone."""

    @abstractmethod
    def prior_mean(self, x: X) -> Tensor:
        """``m(x)`` under each setting ``[b, m]``."""

    @abstractmethod
    def covariance(self, x: X, other: X) -> Tensor:
        """The kernel between two sets of inputs under each setting ``[b, m, n]``."""

    @abstractmethod
    def prior_variance(self, x: X) -> Tensor:
        """The kernel of inputs with themselves ``[b, m]`` (or what broadcasts to that)."""

    @abstractmethod
    def join(self, x: X, more: X) -> X:
        """Inputs, then more of them."""

    # What follows from it -------------------------------------------------------------------------

    def condition(self, x: X, y: Tensor) -> None:
        """Observe values ``y [b, n]`` at ``x [n]``; what was observed before is forgotten."""
        self.x, self.y = x, y
        noise = self.noise.view(-1, 1, 1) * torch.eye(len(x), dtype=torch.float64)
        posterior = student_posterior(self.covariance(x, x) + noise, y - self.prior_mean(x))
        self.log_evidence, self.cholesky, self.weights, self.variance = posterior

    def predict(self, x: X) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of ``m + f`` at inputs ``[m]``: two ``[b, m]``.

        Computed in the precision of the kernel: single precision is enough for whole spaces.
        """
        cross = self.covariance(x, self.x)
        mean = self.prior_mean(x) + (cross @ self.weights.to(cross.dtype)).squeeze(-1)
        cholesky = self.cholesky.to(cross.dtype)
        explained = torch.linalg.solve_triangular(cholesky, cross.mT, upper=False).square().sum(1)
        left = (self.prior_variance(x) - explained).clamp_min(1e-7)
        return mean, (self.variance.to(cross.dtype).unsqueeze(-1) * left).sqrt()

    def log_expected_improvement(self, x: X, best: Tensor) -> Tensor:
        """The logarithm of the expected improvement over ``best`` at inputs ``[m]``: ``[m]``."""
        mean, deviation = (part.double() for part in self.predict(x))
        return log_expected_improvement(mean, deviation, best, self.log_shares)
