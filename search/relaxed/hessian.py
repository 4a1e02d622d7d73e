"""The largest eigenvalue of the validation loss' Hessian in alpha: it rises before a collapse.

Source: Zela et al., *Understanding and Robustifying Differentiable Architecture Search* (R-DARTS),
ICLR 2020. Products with the Hessian are central differences of gradients, so that they work where a
supernet's layers cannot be derived by twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .optimiser import gradient
from .problem import Problem

STEP = 0.05
"""The length of the finite difference in alpha: long beside float32's noise, short beside 1."""

ITERATIONS = 5


def largest_eigenvalue(
    problem: Problem, weights: Tensor, alpha: Tensor, batch: Any, iterations: int = ITERATIONS
) -> float:
    """By power iteration from a fixed start: the eigenvalue of largest size, with its sign.

    Args:
        problem: The losses.
        weights: ``[n]``.
        alpha: ``[m]``.
        batch: Of the validation half.
        iterations: Two passes each.
    """
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(alpha.shape, generator=generator).to(alpha)
    v = v / v.norm()
    value = 0.0
    for _ in range(iterations):
        slopes: list[Tensor] = []
        for sign in (1, -1):
            moved = (alpha.detach() + sign * STEP * v).requires_grad_()
            loss = problem.validation_loss(weights.detach(), moved, batch)
            slopes += gradient(loss, moved)
        product = (slopes[0] - slopes[1]) / (2 * STEP)
        value = product.dot(v).item()
        norm = product.norm()
        if norm == 0:
            break
        v = product / norm
    return value
