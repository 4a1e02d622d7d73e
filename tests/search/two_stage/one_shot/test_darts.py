"""DARTS' steps on a model that is not quadratic, by automatic derivation through the step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bequest.search.two_stage.one_shot.darts import Darts
from bequest.search.two_stage.one_shot.solvable import plain


class Curved:
    """Losses with third derivatives: a finite difference has to be short."""

    scale = torch.tensor([1.5, -2.0, 0.7], dtype=torch.float64)

    def train_loss(self, weights: Tensor, alpha: Tensor, batch: Any) -> Tensor:
        return (torch.sin(3 * weights * alpha) * self.scale + weights**4 / 4).sum()

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: Any) -> Tensor:
        return (torch.exp(weights) * (1 + alpha**2)).sum()


W = torch.tensor([0.4, -0.8, 1.1], dtype=torch.float64)
ALPHA = torch.tensor([0.5, 1.2, -0.9], dtype=torch.float64)


def exact(xi: float) -> Tensor:
    """The gradient through one virtual step, second derivatives and all."""
    problem, alpha = Curved(), ALPHA.clone().requires_grad_()
    w = W.clone().requires_grad_()
    (slope,) = torch.autograd.grad(problem.train_loss(w, alpha, None), w, create_graph=True)
    loss = problem.validation_loss(w - xi * slope, alpha, None)
    return torch.autograd.grad(loss, alpha)[0]


@pytest.mark.parametrize("xi", [0.05, 0.3])
def test_the_second_order_is_the_exact_gradient(xi: float) -> None:
    optimiser = Darts(Curved(), W, ALPHA, plain(1.0), order=2, xi=xi)
    optimiser.step(None, None)
    moved = ALPHA - optimiser.alpha.detach()
    assert moved.tolist() == pytest.approx(exact(xi).tolist(), rel=1e-2)


def test_by_default_the_virtual_step_is_a_real_one() -> None:
    optimiser = Darts(Curved(), W, ALPHA, plain(0.1), order=2)
    optimiser.step(None, None)
    moved = (ALPHA - optimiser.alpha.detach()) / 0.1
    assert moved.tolist() == pytest.approx(exact(0.1).tolist(), rel=1e-2)


def test_the_first_order_takes_weights_as_they_are() -> None:
    optimiser = Darts(Curved(), W, ALPHA, plain(1.0), order=1)
    losses = optimiser.step(None, None)
    direct = 2 * ALPHA * torch.exp(W)
    assert (ALPHA - optimiser.alpha.detach()).tolist() == pytest.approx(direct.tolist())
    assert losses.validation == pytest.approx(float((torch.exp(W) * (1 + ALPHA**2)).sum()))


def test_alpha_moves_first_and_the_weights_see_it() -> None:
    before, after = (
        Darts(Curved(), W, ALPHA, plain(0.1), order=1, alpha_first=first) for first in (True, False)
    )
    before.step(None, None)
    after.step(None, None)

    def weights(alpha: Tensor) -> Tensor:
        w = W.clone().requires_grad_()
        (slope,) = torch.autograd.grad(Curved().train_loss(w, alpha, None), w)
        return W - 0.1 * slope

    moved = before.alpha.detach()
    assert before.w.tolist() == pytest.approx(weights(moved).tolist())
    assert after.w.tolist() == pytest.approx(weights(ALPHA).tolist())
    assert after.alpha.tolist() == pytest.approx(
        (ALPHA - 0.1 * 2 * ALPHA * torch.exp(after.w.detach())).tolist()
    )


class Flat(Curved):
    """Validation does not look at the weights."""

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: Any) -> Tensor:
        return alpha.square().sum() + 0 * weights.sum()


def test_without_a_gradient_of_the_weights_the_direct_part_remains() -> None:
    optimiser = Darts(Flat(), W, ALPHA, plain(0.5), order=2, xi=0.1)
    optimiser.step(None, None)
    assert optimiser.alpha.tolist() == pytest.approx([0.0] * 3, abs=1e-12)
