"""One step of each optimiser by hand, and what each setting changes in it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from bequest.search.two_stage.one_shot.optimiser import OptimiserSettings, VectorOptimiser

START, FIRST, SECOND = (
    torch.tensor([1.0, -2.0]),
    torch.tensor([0.3, 0.4]),
    torch.tensor([0.1, -0.2]),
)
PLAIN = OptimiserSettings(
    weights=0.1, alpha=0.01, momentum=0.0, weight_decay=0.0, alpha_decay=0.0, clip=None
)


def weights_after(settings: OptimiserSettings, *gradients: torch.Tensor) -> list[float]:
    learner = VectorOptimiser.of_weights(START, settings)
    for gradient in gradients:
        learner.move(gradient)
    return list(learner.value.tolist())


def alpha_after(settings: OptimiserSettings, *gradients: torch.Tensor) -> list[float]:
    learner = VectorOptimiser.of_alpha(START, settings)
    for gradient in gradients:
        learner.move(gradient)
    return list(learner.value.tolist())


def test_weights_step_down_the_gradient() -> None:
    assert weights_after(PLAIN, FIRST) == pytest.approx([0.97, -2.04])


def test_momentum_carries_the_first_gradient_into_the_second_step() -> None:
    settings = replace(PLAIN, momentum=0.9)
    velocity = 0.9 * FIRST + SECOND
    expected = START - 0.1 * FIRST - 0.1 * velocity
    assert weights_after(settings, FIRST, SECOND) == pytest.approx(expected.tolist())
    assert weights_after(settings, FIRST, SECOND) != pytest.approx(
        weights_after(PLAIN, FIRST, SECOND), abs=1e-3
    )


def test_weight_decay_pulls_weights_to_zero() -> None:
    settings = replace(PLAIN, weight_decay=0.5)
    expected = START - 0.1 * (FIRST + 0.5 * START)
    assert weights_after(settings, FIRST) == pytest.approx(expected.tolist())


def test_clipping_shortens_long_gradients_alone() -> None:
    settings = replace(PLAIN, clip=0.1)
    assert weights_after(settings, FIRST) == pytest.approx((START - 0.1 * FIRST / 5).tolist())
    assert weights_after(replace(PLAIN, clip=0.6), FIRST) == weights_after(PLAIN, FIRST)


def adam(
    start: torch.Tensor, gradients: list[torch.Tensor], rate: float, betas: tuple[float, float]
) -> torch.Tensor:
    """Kingma and Ba's algorithm 1, written down."""
    value, m, v = start.clone(), torch.zeros(2), torch.zeros(2)
    for t, g in enumerate(gradients, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        value = value - rate * (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + 1e-8)
    return value


def test_weights_may_move_by_adam() -> None:
    settings = replace(PLAIN, weights_optimizer="adam")
    expected = adam(START, [FIRST, SECOND], 0.1, (0.9, 0.999))
    assert weights_after(settings, FIRST, SECOND) == pytest.approx(expected.tolist(), abs=1e-6)
    decayed = weights_after(replace(settings, weight_decay=3.0), torch.tensor([1.0, 1.0]))
    assert decayed == pytest.approx([0.9, -1.9], abs=1e-5), "the decayed gradient's sign"


def test_alphas_move_by_darts_adam() -> None:
    """Betas .5 and .999: the first moment forgets twice as fast as Adam's own."""
    expected = adam(START, [FIRST, SECOND, FIRST], 0.01, (0.5, 0.999))
    assert alpha_after(PLAIN, FIRST, SECOND, FIRST) == pytest.approx(expected.tolist(), abs=1e-6)
    usual = adam(START, [FIRST, SECOND, FIRST], 0.01, (0.9, 0.999))
    assert usual.tolist() != pytest.approx(expected.tolist(), abs=1e-4)
    fast = adam(START, [FIRST, SECOND, FIRST], 0.01, (0.5, 0.9))
    assert fast.tolist() != pytest.approx(expected.tolist(), abs=1e-5)


def test_alpha_decay_and_plain_descent_of_alphas() -> None:
    settings = replace(PLAIN, alpha_optimizer="sgd", alpha_decay=0.2)
    expected = START - 0.01 * (FIRST + 0.2 * START)
    assert alpha_after(settings, FIRST) == pytest.approx(expected.tolist())
    adam_decayed = alpha_after(replace(PLAIN, alpha_decay=5.0), torch.tensor([1.0, 1.0]))
    assert adam_decayed == pytest.approx([0.99, -1.99], abs=1e-6), "the decayed gradient's sign"


def test_darts_defaults() -> None:
    settings = OptimiserSettings()
    assert (settings.weights, settings.momentum, settings.weight_decay) == (0.025, 0.9, 3e-4)
    assert (settings.alpha, settings.alpha_decay, settings.clip) == (3e-4, 1e-3, 5.0)


def test_the_rate_can_be_changed_and_a_state_restored() -> None:
    settings = replace(PLAIN, momentum=0.9)
    learner = VectorOptimiser.of_weights(START, settings)
    learner.move(FIRST)
    state = copy.deepcopy(learner.state())
    other = VectorOptimiser.of_weights(torch.zeros(2), settings)
    other.load(state)
    learner.rate = other.rate = 0.05
    learner.move(SECOND)
    other.move(SECOND)
    assert other.value.tolist() == learner.value.tolist()
    expected = START - 0.1 * FIRST - 0.05 * (0.9 * FIRST + SECOND)
    assert learner.value.tolist() == pytest.approx(expected.tolist())
