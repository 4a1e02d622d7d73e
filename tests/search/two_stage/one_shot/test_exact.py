"""The exact hypergradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bequest.search.two_stage.one_shot.bilevel import OneShotOptimiser
from bequest.search.two_stage.one_shot.exact import ExactHypergradient, conjugate_gradients
from bequest.search.two_stage.one_shot.rarts import Rarts
from bequest.search.two_stage.one_shot.solvable import SolvableModel, plain

MODEL = SolvableModel()
W, ALPHA = MODEL.start()


def point(optimiser: OneShotOptimiser) -> list[float]:
    """(alpha, w), and y where there is one."""
    values = [optimiser.alpha, optimiser.w]
    values += [optimiser.y] if isinstance(optimiser, Rarts) else []
    return [v.item() for v in values]


def after(optimiser: OneShotOptimiser, steps: int) -> list[float]:
    for _ in range(steps):
        optimiser.step(None, None)
    return point(optimiser)


def test_the_exact_hypergradient_finds_the_bilevel_optimum() -> None:
    optimiser = ExactHypergradient(MODEL, W, ALPHA, plain(0.3), inner=20)
    assert after(optimiser, 80) == pytest.approx([1, 1], abs=1e-6)


class Quadratic:
    """Two coupled quadratics of several weights and alphas, drawn at random."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        draw = torch.randn(5, 5, generator=generator, dtype=torch.double)
        self.hessian = draw @ draw.T + torch.eye(5).double()
        self.mixed = torch.randn(5, 3, generator=generator, dtype=torch.double)
        self.target = torch.randn(5, generator=generator, dtype=torch.double)

    def train_loss(self, weights: Tensor, alpha: Tensor, batch: object) -> Tensor:
        return weights @ self.hessian @ weights / 2 - weights @ self.mixed @ alpha

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: object) -> Tensor:
        return (weights - self.target).square().sum() / 2 + alpha.square().sum()


def test_the_hypergradient_is_the_derivative_through_the_trained_weights() -> None:
    problem = Quadratic()
    alpha = torch.tensor([0.3, -1.0, 2.0]).double().requires_grad_()
    trained = torch.linalg.solve(problem.hessian, problem.mixed @ alpha)
    (expected,) = torch.autograd.grad(problem.validation_loss(trained, alpha, None), alpha)
    exact = ExactHypergradient(problem, trained, alpha, plain(0.1))
    assert torch.allclose(exact.hypergradient(None, None)[0], expected, atol=1e-9)


def test_conjugate_gradients_solve_in_as_many_steps_as_there_are_numbers() -> None:
    problem = Quadratic()
    solved = conjugate_gradients(lambda v: problem.hessian @ v, problem.target, 5)
    assert torch.allclose(problem.hessian @ solved, problem.target, atol=1e-8)
