"""A problem that can be solved by hand: the exact test of every optimiser.

Source: Liu, Simonyan, Yang, *DARTS*, ICLR 2019, section 2.3: ``L_val = alpha w - 2 alpha + 1``,
``L_train = (w - alpha)^2``, start ``(alpha, w) = (2, -2)``. The bilevel optimum is (1, 1).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .optimiser import OptimiserSettings

START = (2.0, -2.0)
"""alpha, w."""


class SolvableModel:
    """One weight, one alpha; batches are ignored."""

    def train_loss(self, weights: Tensor, alpha: Tensor, batch: Any = None) -> Tensor:
        return (weights - alpha).square().sum()

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: Any = None) -> Tensor:
        return (alpha * weights - 2 * alpha + 1).sum()

    def start(self) -> tuple[Tensor, Tensor]:
        """Weights and alphas, ``[1]`` float64 each."""
        alpha, weight = START
        return torch.tensor([weight]).double(), torch.tensor([alpha]).double()


def plain(rate: float) -> OptimiserSettings:
    """Gradient descent at one rate for everything, as the model's published figures use it."""
    return OptimiserSettings(
        weights=rate,
        alpha=rate,
        momentum=0.0,
        weight_decay=0.0,
        alpha_decay=0.0,
        clip=None,
        alpha_optimizer="sgd",
    )


def rarts_limit(lam: float, beta: float) -> tuple[float, float, float]:
    """(alpha, w, y) to which RARTS converges; unique where ``4 lam beta - 2 lam - beta > 0``."""
    alpha = 1 / (1 - 1 / (4 * lam) - 1 / (2 * beta))
    w = alpha * (1 - 1 / (2 * lam))
    return alpha, w, w - alpha / beta
