"""The exact hypergradient, for models small enough that w can be trained before each alpha step.

At ``w*(alpha) = argmin L_train``, the implicit function theorem gives
``d L_val / d alpha = grad_alpha L_val - (d^2 L_train / d alpha d w) H^-1 grad_w L_val`` with
``H = d^2 L_train / d w^2``; the inverse is never formed, conjugate gradients solve with it.
Source: Lorraine, Vicol, Duvenaud, *Optimizing Millions of Hyperparameters by Implicit
Differentiation*, AISTATS 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp

from .bilevel import Losses, OneShotOptimiser, gradient
from .optimiser import OptimiserSettings
from .problem import Problem


class ExactHypergradient(OneShotOptimiser):
    """Trains w for some steps, then moves alpha down the gradient through the trained w.

    Args:
        problem, weights, alpha, settings: See `OneShotOptimiser`.
        inner: Steps of w before each of alpha.
        iterations: Conjugate gradients at most.
        damping: Added to the Hessian's diagonal, where it is not positive definite.
    """

    def __init__(
        self,
        problem: Problem,
        weights: Tensor,
        alpha: Tensor,
        settings: OptimiserSettings,
        *,
        inner: int = 20,
        iterations: int = 20,
        damping: float = 0.0,
    ) -> None:
        super().__init__(problem, weights, alpha, settings)
        self.inner = inner
        self.iterations = iterations
        self.damping = damping

    def step(self, train: Any, validation: Any, *, move_alpha: bool = True) -> Losses:
        for _ in range(self.inner):
            loss = self.problem.train_loss(self.w, self.alpha.detach(), train)
            self.optimisers["w"].move(*gradient(loss, self.w))
        if not move_alpha:
            return Losses(loss.item(), None)
        slope, validation_loss = self.hypergradient(train, validation)
        self.optimisers["alpha"].move(slope)
        return Losses(loss.item(), validation_loss)

    def hypergradient(self, train: Any, validation: Any) -> tuple[Tensor, float]:
        """``d L_val(w*(alpha), alpha) / d alpha`` ``[m]``, and the validation loss."""
        w, alpha = self.w.detach(), self.alpha.detach()

        def by_w(weights: Tensor, alphas: Tensor) -> Tensor:
            slope: Tensor = grad(self.problem.train_loss)(weights, alphas, train)
            return slope

        def product(v: Tensor) -> Tensor:
            along: Tensor = jvp(lambda weights: by_w(weights, alpha), (w,), (v,))[1]
            return along + self.damping * v

        loss = self.problem.validation_loss(self.w, self.alpha, validation)
        v, direct = gradient(loss, self.w, self.alpha)
        solved = conjugate_gradients(product, v, self.iterations)
        mixed = grad(lambda alphas: (by_w(w, alphas) * solved).sum())(alpha)
        return direct - mixed, loss.item()


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], target: Tensor, iterations: int, tolerance: float = 1e-10
) -> Tensor:
    """Solve ``A x = target`` for a positive definite A that is known by its products.

    Args:
        product: Gives ``A v`` ``[n]``.
        target: ``[n]``.
        iterations: At most so many.
        tolerance: Of the residual's norm, relative to the target's.
    """
    x = torch.zeros_like(target)
    residual = target.clone()
    direction = residual.clone()
    size = residual.dot(residual)
    enough = tolerance**2 * size
    for _ in range(iterations):
        if size <= enough:
            break
        image = product(direction)
        along = size / direction.dot(image)
        x = x + along * direction
        residual = residual - along * image
        size, before = residual.dot(residual), size
        direction = residual + size / before * direction
    return x
