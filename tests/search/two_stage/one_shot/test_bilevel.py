"""The optimisers on a problem solved by hand: limits, trajectories, invariants, resuming."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bequest.common.errors import UnknownNameError
from bequest.search.two_stage.one_shot.bilevel import OneShotOptimiser
from bequest.search.two_stage.one_shot.darts import Darts
from bequest.search.two_stage.one_shot.exact import ExactHypergradient
from bequest.search.two_stage.one_shot.optimiser import OptimiserSettings, VectorOptimiser
from bequest.search.two_stage.one_shot.rarts import Coupling, Rarts
from bequest.search.two_stage.one_shot.solvable import SolvableModel, plain, rarts_limit

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


def darts_1(rate: float = 0.01) -> Darts:
    return Darts(MODEL, W, ALPHA, plain(rate), alpha_first=False)


def darts_2(xi: float = 0.5, rate: float = 0.01) -> Darts:
    return Darts(MODEL, W, ALPHA, plain(rate), order=2, xi=xi)


def rarts(form: str = "literal", strength: float = 10, rate: float = 0.01) -> Rarts:
    coupling = Coupling(lam=strength, beta=strength)
    return Rarts(MODEL, W, ALPHA, plain(rate), coupling=coupling, form=form)


TRAJECTORIES = {
    darts_1: {1: (2.0392, -1.92), 10: (2.357344, -1.236631), 100: (3.213469, 2.438762)},
    darts_2: {1: (1.98, -1.9204), 10: (1.817073, -1.287804), 100: (1.13262, 0.86738)},
    rarts: {
        1: (1.3994, -1.2, -1.94),
        10: (0.055609, -0.277295, -0.987123),
        100: (0.34687, 0.278357, 0.196189),
    },
}


@pytest.mark.parametrize("make", TRAJECTORIES)
def test_the_known_trajectory(make: Callable[[], OneShotOptimiser]) -> None:
    for steps, known in TRAJECTORIES[make].items():
        assert after(make(), steps) == pytest.approx(known, abs=1e-6)


def test_first_order_ends_where_the_bilevel_optimum_is_not() -> None:
    assert after(darts_1(0.3), 400) == pytest.approx([2, 2], abs=1e-6)


@pytest.mark.parametrize("xi", [0.01, 0.1, 0.5, 1.0])
def test_second_order_hangs_on_its_virtual_step(xi: float) -> None:
    assert after(darts_2(xi, 0.3), 400) == pytest.approx([2 / (1 + 2 * xi)] * 2, abs=1e-6)


@pytest.mark.parametrize("form", ["literal", "fused"])
def test_both_forms_end_at_the_known_limit(form: str) -> None:
    assert after(rarts(form, 10, 0.04), 900) == pytest.approx(rarts_limit(10, 10), abs=1e-6)


def test_the_lagrangian_falls_at_every_step() -> None:
    optimiser = rarts()
    values = [optimiser.objective(None, None)]
    for _ in range(1500):
        optimiser.step(None, None)
        values.append(optimiser.objective(None, None))
    assert values[0] == pytest.approx(153)
    assert all(b <= a + 1e-13 for a, b in itertools.pairwise(values))
    assert values[-1] == pytest.approx(-3 / 37, abs=1e-6)


@pytest.mark.parametrize(("rate", "stable"), [(0.0939, True), (0.0975, False)])
def test_the_largest_stable_step(rate: float, stable: bool) -> None:
    apart = abs(after(rarts(rate=rate), 1200)[0] - 40 / 37)
    assert (apart < 1e-3) == stable


def test_a_multiplier_takes_the_bias_of_beta_away() -> None:
    coupling = Coupling(lam=10, beta=10, multiplier=True)
    optimiser = Rarts(MODEL, W, ALPHA, plain(0.03), coupling=coupling)
    alpha, w = 40 / 39, 40 / 39 * (1 - 1 / 20)
    assert after(optimiser, 1000) == pytest.approx([alpha, w, w], abs=1e-6)


def test_continuation_comes_nearer_than_the_strength_that_it_began_with() -> None:
    coupling = Coupling(lam=10, beta=10, growth=1.003, lam_growth=1.003, largest=200)
    optimiser = Rarts(MODEL, W, ALPHA, plain(0.004), coupling=coupling, form="literal")
    assert after(optimiser, 2200) == pytest.approx(rarts_limit(200, 200), abs=1e-6)
    assert optimiser.lam == optimiser.beta == 200


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


def test_second_order_is_the_derivative_through_one_virtual_step() -> None:
    problem = Quadratic()
    start, xi = torch.ones(5).double(), 0.07
    alpha = torch.tensor([0.3, -1.0, 2.0]).double().requires_grad_()
    ahead = start - xi * (problem.hessian @ start - problem.mixed @ alpha)
    (expected,) = torch.autograd.grad(problem.validation_loss(ahead, alpha, None), alpha)
    optimiser = Darts(problem, start, alpha, plain(1.0), order=2, xi=xi)
    optimiser.step(None, None)
    assert torch.allclose(alpha - optimiser.alpha, expected, atol=1e-8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Darts(MODEL, W, ALPHA, OptimiserSettings(), order=2),
        lambda: Rarts(
            MODEL, W, ALPHA, OptimiserSettings(), coupling=Coupling(growth=1.1, multiplier=True)
        ),
        lambda: ExactHypergradient(MODEL, W, ALPHA, OptimiserSettings(), inner=2),
    ],
)
def test_a_saved_state_goes_on_exactly(make: Callable[[], OneShotOptimiser]) -> None:
    whole, first = make(), make()
    after(whole, 9)
    after(first, 4)
    second = make()
    second.load(copy.deepcopy(first.state()))
    assert after(second, 5) == point(whole)


def test_alpha_stands_still_while_weights_warm_up() -> None:
    for optimiser in (darts_1(), darts_2(), rarts("literal"), rarts("fused")):
        optimiser.step(None, None, move_alpha=False)
        assert optimiser.alpha.item() == 2
        assert optimiser.w.item() != -2


def test_long_gradients_are_clipped() -> None:
    learner = VectorOptimiser.of_weights(
        torch.zeros(2), OptimiserSettings(weights=1.0, momentum=0, clip=5.0)
    )
    learner.move(torch.tensor([30.0, 40.0]))
    assert learner.value.tolist() == pytest.approx([-3, -4])
    learner.move(torch.tensor([0.3, 0.4]))
    assert learner.value.tolist() == pytest.approx([-3.3 + 9e-4, -4.4 + 12e-4], abs=1e-5)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown form of RARTS 'fusd': did you mean"):
        rarts("fusd")
    with pytest.raises(UnknownNameError, match="unknown optimiser of alpha 'adamw'"):
        OptimiserSettings(alpha_optimizer="adamw")
