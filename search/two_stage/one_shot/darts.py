"""DARTS: alphas from the validation half, weights from the train half.

Source: Liu, Simonyan, Yang, *DARTS: Differentiable Architecture Search*, ICLR 2019, algorithm 1 and
equations 6 to 8.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .bilevel import Losses, OneShotOptimiser, gradient
from .optimiser import OptimiserSettings
from .problem import Problem

EPSILON = 0.01
"""The length of the finite difference's step (the paper's footnote 2)."""


class Darts(OneShotOptimiser):
    """First order: two passes a step. Second order, through one virtual step of w: five.

    Args:
        problem, weights, alpha, settings: See `OneShotOptimiser`.
        order: 1 or 2.
        xi: The virtual step of the second order; by default the weights' learning rate.
        alpha_first: Whether alpha moves before w, as in the paper's algorithm.
    """

    def __init__(
        self,
        problem: Problem,
        weights: Tensor,
        alpha: Tensor,
        settings: OptimiserSettings,
        *,
        order: int = 1,
        xi: float | None = None,
        alpha_first: bool = True,
    ) -> None:
        super().__init__(problem, weights, alpha, settings)
        self.order = order
        self.xi = xi
        self.alpha_first = alpha_first

    def step(self, train: Any, validation: Any, *, move_alpha: bool = True) -> Losses:
        seen = None
        if move_alpha and self.alpha_first:
            seen = self._move_alpha(train, validation)
        loss = self.problem.train_loss(self.w, self.alpha.detach(), train)
        self.optimisers["w"].move(*gradient(loss, self.w))
        if move_alpha and not self.alpha_first:
            seen = self._move_alpha(train, validation)
        return Losses(loss.item(), seen)

    def _move_alpha(self, train: Any, validation: Any) -> float:
        if self.order == 2:
            slope, loss = self._second_order(train, validation)
        else:
            value = self.problem.validation_loss(self.w.detach(), self.alpha, validation)
            (slope,), loss = gradient(value, self.alpha), value.item()
        self.optimisers["alpha"].move(slope)
        return loss

    def _second_order(self, train: Any, validation: Any) -> tuple[Tensor, float]:
        """The gradient through ``w - xi grad_w L_train``, its mixed term by central differences."""
        w, alpha = self.w, self.alpha
        xi = self.optimisers["w"].rate if self.xi is None else self.xi
        (g,) = gradient(self.problem.train_loss(w, alpha.detach(), train), w)
        ahead = (w.detach() - xi * g).requires_grad_()
        loss = self.problem.validation_loss(ahead, alpha, validation)
        v, direct = gradient(loss, ahead, alpha)
        norm = v.norm()
        if norm == 0:
            return direct, loss.item()
        epsilon = EPSILON / norm
        sides: list[Tensor] = []
        for sign in (1, -1):
            moved = w.detach() + sign * epsilon * v
            sides += gradient(self.problem.train_loss(moved, alpha, train), alpha)
        mixed = (sides[0] - sides[1]) / (2 * epsilon)
        return direct - xi * mixed, loss.item()
