"""RARTS: one step of each form by hand, and what each term and setting adds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bequest.search.two_stage.one_shot.rarts import Coupling, Rarts
from bequest.search.two_stage.one_shot.solvable import plain


class Losses:
    """``train = w^2 alpha / 2 + w``, ``validation = w alpha^2``: every derivative is another."""

    def train_loss(self, weights: Tensor, alpha: Tensor, batch: Any) -> Tensor:
        return (weights.square() * alpha / 2 + weights).sum()

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: Any) -> Tensor:
        return (weights * alpha.square()).sum()


RATE = 0.1
W, Y, ALPHA = 2.0, -1.0, 3.0
COUPLING = Coupling(lam=1.5, beta=0.4)


def number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def make(coupling: Coupling = COUPLING, form: str = "fused") -> Rarts:
    return Rarts(
        *(Losses(), number(W), number(ALPHA), plain(RATE)),
        coupling=coupling,
        form=form,
        second=number(Y),
    )


def point(optimiser: Rarts) -> tuple[float, float, float]:
    return optimiser.w.item(), optimiser.y.item(), optimiser.alpha.item()


def step_of(lam: float, beta: float, multiplier: float = 0.0) -> tuple[float, float, float]:
    """The fused step: all gradients at the old point."""
    pull = beta * (Y - W) + multiplier
    by_w = lam * (W * ALPHA + 1) - pull
    by_y = ALPHA**2 + pull
    by_alpha = lam * W**2 / 2 + 2 * Y * ALPHA
    return W - RATE * by_w, Y - RATE * by_y, ALPHA - RATE * by_alpha


def test_the_fused_step_takes_all_gradients_at_one_point() -> None:
    optimiser = make()
    losses = optimiser.step(None, None)
    assert point(optimiser) == pytest.approx(step_of(1.5, 0.4))
    assert (losses.train, losses.validation) == pytest.approx((8, -9))
    assert optimiser.judged.item() == optimiser.y.item()


def test_the_literal_step_moves_w_then_y_then_alpha() -> None:
    optimiser = make(form="literal")
    optimiser.step(None, None)
    w = W - RATE * (1.5 * (W * ALPHA + 1) - 0.4 * (Y - W))
    y = Y - RATE * (ALPHA**2 + 0.4 * (Y - w))
    alpha = ALPHA - RATE * (1.5 * w**2 / 2 + 2 * y * ALPHA)
    assert point(optimiser) == pytest.approx((w, y, alpha))


@pytest.mark.parametrize("change", [{"lam": 0.0}, {"beta": 0.0}, {"lam": 3.0}, {"beta": 2.0}])
def test_each_weight_weighs_its_term(change: dict[str, float]) -> None:
    coupling = replace(COUPLING, **change)
    optimiser = make(coupling)
    optimiser.step(None, None)
    assert point(optimiser) == pytest.approx(step_of(coupling.lam, coupling.beta))


def test_weights_alone_move_in_the_warm_up() -> None:
    for form in ("fused", "literal"):
        optimiser = make(form=form)
        optimiser.step(None, None, move_alpha=False)
        assert optimiser.alpha.item() == ALPHA
        assert optimiser.w.item() == pytest.approx(step_of(1.5, 0.4)[0])


@pytest.mark.parametrize("form", ["fused", "literal"])
def test_the_multiplier_gathers_what_separates_the_networks(form: str) -> None:
    optimiser = make(replace(COUPLING, multiplier=True), form)
    optimiser.step(None, None)
    assert optimiser.multiplier is not None
    w, y, alpha = point(optimiser)
    assert optimiser.multiplier.item() == pytest.approx(0.4 * (y - w))
    second = w - RATE * (1.5 * (w * alpha + 1) - 0.4 * (y - w) - optimiser.multiplier.item())
    optimiser.step(None, None)
    assert optimiser.w.item() == pytest.approx(second)


def test_continuation_grows_both_weights_up_to_the_largest() -> None:
    coupling = Coupling(lam=1.5, beta=0.4, growth=2.0, lam_growth=1.5, largest=2.0)
    optimiser = make(coupling)
    weights = []
    for _ in range(4):
        optimiser.step(None, None)
        weights.append((optimiser.lam, optimiser.beta))
    assert weights == [(2.0, 0.8), (2.0, 1.6), (2.0, 2.0), (2.0, 2.0)]
    beyond = make(Coupling(lam=5.0, beta=0.1, lam_growth=2.0, largest=2.0))
    beyond.step(None, None)
    assert beyond.lam == 5.0, "what begins above the largest stays"
    free = make(Coupling(lam=1.0, beta=1.0, growth=3.0, largest=math.inf))
    free.step(None, None)
    assert (free.lam, free.beta) == (1.0, 3.0)


def test_the_objective_is_the_lagrangian() -> None:
    optimiser = make(replace(COUPLING, multiplier=True))
    assert optimiser.multiplier is not None
    optimiser.multiplier += 0.5
    train, validation = W**2 * ALPHA / 2 + W, Y * ALPHA**2
    expected = validation + 1.5 * train + 0.2 * (Y - W) ** 2 + 0.5 * (Y - W)
    assert optimiser.objective(None, None) == pytest.approx(expected)


class PairedLosses(Losses):
    """Both losses from one pass."""

    passes = 0

    def both_losses(
        self, w: Tensor, y: Tensor, alpha: Tensor, train: Any, validation: Any
    ) -> tuple[Tensor, Tensor]:
        self.passes += 1
        return self.train_loss(w, alpha, train), self.validation_loss(y, alpha, validation)


def test_a_paired_problem_is_asked_once() -> None:
    problem = PairedLosses()
    optimiser = Rarts(
        problem, number(W), number(ALPHA), plain(RATE), coupling=COUPLING, second=number(Y)
    )
    optimiser.step(None, None)
    assert problem.passes == 1
    assert point(optimiser) == pytest.approx(step_of(1.5, 0.4))


def test_the_second_network_begins_as_the_first() -> None:
    optimiser = Rarts(Losses(), number(W), number(ALPHA), plain(RATE))
    assert optimiser.y.item() == W
    optimiser.set_rate(0.7)
    assert optimiser.optimisers["w"].rate == optimiser.optimisers["y"].rate == 0.7
    assert optimiser.optimisers["alpha"].rate == RATE
