"""Optimisers' steps written down by hand, and what a training did to its learning rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor


class HandSgd:
    """SGD with momentum: ``v = m v + g + d w``; ``w -= r v``, or ``r (g + d w + m v)``."""

    def __init__(self, momentum: float, *, nesterov: bool, clip: float | None = None) -> None:
        self.momentum, self.nesterov, self.clip = momentum, nesterov, clip
        self._velocities: list[Tensor] | None = None

    def step(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        rate: float,
        decays: Sequence[float],
    ) -> list[Tensor]:
        gradients = clipped(gradients, self.clip)
        moves = [g + d * w for g, w, d in zip(gradients, weights, decays, strict=True)]
        before = self._velocities or [torch.zeros_like(m) for m in moves]
        self._velocities = [self.momentum * v + m for v, m in zip(before, moves, strict=True)]
        if self.nesterov:
            velocities = zip(moves, self._velocities, strict=True)
            return [
                w - rate * (m + self.momentum * v)
                for w, (m, v) in zip(weights, velocities, strict=True)
            ]
        return [w - rate * v for w, v in zip(weights, self._velocities, strict=True)]


def clipped(gradients: Sequence[Tensor], clip: float | None) -> list[Tensor]:
    """Gradients scaled so that their common norm is no larger than a bound."""
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    factor = 1.0 if clip is None else float((clip / norm).clamp(max=1.0))
    return [factor * g for g in gradients]


def first_adam_step(
    weight: Tensor, gradient: Tensor, rate: float, *, decay: float = 0.0, decoupled: bool = False
) -> Tensor:
    """Adam's first step, where both means are the gradient itself; AdamW where decoupled."""
    if decoupled:
        weight = weight * (1 - rate * decay)
    else:
        gradient = gradient + decay * weight
    return weight - rate * gradient / (gradient.abs() + 1e-8)


def record_rates(
    patch: pytest.MonkeyPatch, make_optimizer: str, original: Callable[..., Any]
) -> list[list[float]]:
    """Learning rates of each step, a number a group, of the optimisers that a module makes."""
    rates: list[list[float]] = []

    def make(*args: Any) -> Any:
        optimizer = original(*args)
        optimizer.register_step_pre_hook(
            lambda opt, *_: rates.append([group["lr"] for group in opt.param_groups])
        )
        return optimizer

    patch.setattr(make_optimizer, make)
    return rates
