"""The largest eigenvalue of the validation loss' Hessian in alpha: it rises before a collapse.

Source: Zela et al., *Understanding and Robustifying Differentiable Architecture Search* (R-DARTS),
ICLR 2020. Products with the Hessian are central differences of gradients, so that they work where a
supernet's layers cannot be derived by twice.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .bilevel import gradient
from .problem import Problem

STEP = 0.05
"""The length of the finite difference in alpha: long beside float32's noise, short beside 1."""

ITERATIONS = 12
"""Enough for a few tens of alphas: the extreme eigenvalues come first."""


def largest_eigenvalue(
    problem: Problem, weights: Tensor, alpha: Tensor, batch: Any, iterations: int = ITERATIONS
) -> float:
    """By Lanczos' iteration from a fixed start: the eigenvalue of largest size, with its sign; NaN
    where the losses are.

    Power iteration needs many times the steps where two eigenvalues are of like size.

    Args:
        problem: The losses.
        weights: ``[n]``.
        alpha: ``[m]``.
        batch: Of the validation half.
        iterations: At most, two passes each.
    """

    def product(v: Tensor) -> Tensor:
        slopes: list[Tensor] = []
        for sign in (1, -1):
            moved = (alpha.detach() + sign * STEP * v.to(alpha)).requires_grad_()
            loss = problem.validation_loss(weights.detach(), moved, batch)
            slopes += gradient(loss, moved)
        return ((slopes[0] - slopes[1]) / (2 * STEP)).double()

    generator = torch.Generator().manual_seed(0)
    v = torch.randn(alpha.shape, generator=generator).to(alpha).double()
    basis = (v / v.norm()).unsqueeze(0)
    images: list[Tensor] = []
    for _ in range(min(iterations, alpha.numel())):
        images.append(product(basis[-1]))
        rest = images[-1].clone()
        for _ in range(2):  # once leaves what rounding has put there
            rest -= basis.T @ (basis @ rest)
        if rest.norm() <= 1e-6 * images[-1].norm():
            break
        basis = torch.cat([basis, (rest / rest.norm()).unsqueeze(0)])
    small = basis[: len(images)] @ torch.stack(images).T
    if not bool(small.isfinite().all()):  # the search has diverged
        return math.nan
    values = torch.linalg.eigvalsh((small + small.T) / 2)
    return float(values[values.abs().argmax()])
