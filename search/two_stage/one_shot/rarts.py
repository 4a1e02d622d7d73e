"""RARTS: one level, two networks that share alpha, no mixed second derivatives.

``L(w, y, alpha) = L_val(y, alpha) + lambda L_train(w, alpha) + beta/2 ||y - w||^2``

Source: Xue, Qi, Xin, *RARTS: An Efficient First-Order Relaxed Architecture Search Method*,
arXiv 2008.03901. The fused form, the continuation and the multiplier are Bequest's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....common.errors import unknown_name
from .bilevel import Losses, OneShotOptimiser, gradient
from .optimiser import OptimiserSettings, VectorOptimiser
from .problem import Paired, Problem

FORMS = ("fused", "literal")


@dataclass(frozen=True)
class Coupling:
    """The weights of train half, validation half and the distance of the two networks.

    Attributes:
        lam: The weight of the train half.
        beta: The weight of the quadratic term that keeps the networks together.
        growth: Beta grows by this factor a step (continuation); 1 for a constant one.
        lam_growth: Lambda grows by this factor. Continuation in both has the bilevel problem as its
            limit where the train half can be learned by heart; where it cannot (dropout), a large
            lambda asks of alpha what fits, not what generalises.
        largest: Both grow up to this value.
        multiplier: Whether a Lagrange multiplier asks for ``y = w`` (augmented Lagrangian): it
            takes away the bias that a finite beta brings.
    """

    lam: float = 1.0
    beta: float = 0.1
    growth: float = 1.0
    lam_growth: float = 1.0
    largest: float = math.inf
    multiplier: bool = False


class Rarts(OneShotOptimiser):
    """Weights w learn from the train half, y from the validation half, alpha from both.

    The *literal* form moves w, then y, then alpha, each by the newest of the others: four passes a
    step. The *fused* form takes both gradients of each half from one pass and moves all at once:
    two passes (one, where the problem is `Paired`), the same fixed points, about half the largest
    stable step size.

    Args:
        problem, weights, alpha, settings: See `OneShotOptimiser`.
        coupling: The weights of the terms.
        form: ``fused`` or ``literal``.
        second: The start of y ``[n]``; by default that of w.

    Raises:
        UnknownNameError: There is no such form.
    """

    def __init__(
        self,
        problem: Problem,
        weights: Tensor,
        alpha: Tensor,
        settings: OptimiserSettings,
        *,
        coupling: Coupling | None = None,
        form: str = "fused",
        second: Tensor | None = None,
    ) -> None:
        if form not in FORMS:
            raise unknown_name("form of RARTS", form, FORMS)
        super().__init__(problem, weights, alpha, settings)
        self.optimisers["y"] = VectorOptimiser.of_weights(
            weights if second is None else second, settings
        )
        self.coupling = coupling or Coupling()
        self.form = form
        self.lam, self.beta = self.coupling.lam, self.coupling.beta
        self.multiplier = torch.zeros_like(self.w) if self.coupling.multiplier else None

    @property
    def y(self) -> Tensor:
        """The weights that learn from the validation half, ``[n]``."""
        return self.optimisers["y"].value

    @property
    def judged(self) -> Tensor:
        return self.y

    def step(self, train: Any, validation: Any, *, move_alpha: bool = True) -> Losses:
        move = self._literal if self.form == "literal" else self._fused
        losses = move(train, validation, move_alpha)
        if self.multiplier is not None:
            self.multiplier += self.beta * (self.y - self.w).detach()
        self.lam = min(self.lam * self.coupling.lam_growth, max(self.coupling.largest, self.lam))
        self.beta = min(self.beta * self.coupling.growth, max(self.coupling.largest, self.beta))
        return losses

    def _fused(self, train: Any, validation: Any, move_alpha: bool) -> Losses:
        w, y, alpha = self.w, self.y, self.alpha
        if isinstance(self.problem, Paired):
            train_loss, validation_loss = self.problem.both_losses(w, y, alpha, train, validation)
        else:
            train_loss = self.problem.train_loss(w, alpha, train)
            validation_loss = self.problem.validation_loss(y, alpha, validation)
        by_w, by_y, slope = gradient(self.lam * train_loss + validation_loss, w, y, alpha)
        pull = self._pull()
        self.optimisers["w"].move(by_w - pull)
        self.optimisers["y"].move(by_y + pull)
        if move_alpha:
            self.optimisers["alpha"].move(slope)
        return Losses(train_loss.item(), validation_loss.item())

    def _literal(self, train: Any, validation: Any, move_alpha: bool) -> Losses:
        w, y, alpha = self.w, self.y, self.alpha
        fixed = alpha.detach()
        train_loss = self.problem.train_loss(w, fixed, train)
        (by_w,) = gradient(train_loss, w)
        self.optimisers["w"].move(self.lam * by_w - self._pull())
        validation_loss = self.problem.validation_loss(y, fixed, validation)
        (by_y,) = gradient(validation_loss, y)
        self.optimisers["y"].move(by_y + self._pull())
        if move_alpha:
            (train_slope,) = gradient(self.problem.train_loss(w.detach(), alpha, train), alpha)
            (slope,) = gradient(self.problem.validation_loss(y.detach(), alpha, validation), alpha)
            self.optimisers["alpha"].move(self.lam * train_slope + slope)
        return Losses(train_loss.item(), validation_loss.item())

    def _pull(self) -> Tensor:
        """The gradient by y of the term that couples the networks; by w it is the negative."""
        pull = self.beta * (self.y - self.w).detach()
        return pull if self.multiplier is None else pull + self.multiplier

    @torch.no_grad()
    def objective(self, train: Any, validation: Any) -> float:
        """L at the current point; it falls at every step that is small enough."""
        apart = self.y - self.w
        value = self.problem.validation_loss(self.y, self.alpha, validation)
        value = value + self.lam * self.problem.train_loss(self.w, self.alpha, train)
        value = value + self.beta / 2 * apart.square().sum()
        if self.multiplier is not None:
            value = value + (self.multiplier * apart).sum()
        return value.item()

    def state(self) -> dict[str, Any]:
        coupling = {"lam": self.lam, "beta": self.beta, "multiplier": self.multiplier}
        return {**super().state(), "coupling": coupling}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        coupling = state["coupling"]
        self.lam, self.beta = coupling["lam"], coupling["beta"]
        self.multiplier = coupling["multiplier"]
