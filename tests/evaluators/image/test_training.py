"""The training of image networks: SGD on a cosine schedule, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bequest.evaluators.image import training
from bequest.evaluators.image.tasks import Images
from bequest.evaluators.image.training import Budget, scores, train
from tests.evaluators.steps import HandSgd, record_rates

BUDGET = Budget(epochs=3, batch_size=12, learning_rate=0.2, weight_decay=0.1)
"""One batch is all of the images: their order does not matter."""


def images(scale: float = 1.0) -> Images:
    generator = torch.Generator().manual_seed(0)
    x = scale * torch.randn(12, 1, 4, 4, generator=generator)
    return Images(x, torch.arange(12) % 3)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def trained(budget: Budget, data: Images) -> list[Tensor]:
    built = network()
    train(built, data, budget, seed=0, flips=False)
    return [p.detach() for p in built.parameters()]


def by_hand(budget: Budget, data: Images, clip: float | None) -> list[Tensor]:
    sgd = HandSgd(0.9, nesterov=True, clip=clip)
    weights = [p.detach().clone() for p in network().parameters()]
    for epoch in range(budget.epochs):
        leaves = [w.clone().requires_grad_() for w in weights]
        logits = functional.linear(data.x.flatten(1), *leaves)
        gradients = torch.autograd.grad(functional.cross_entropy(logits, data.y), leaves)
        rate = budget.learning_rate * (1 + math.cos(math.pi * epoch / budget.epochs)) / 2
        weights = sgd.step(weights, gradients, rate, [budget.weight_decay] * 2)
    return weights


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_three_steps_by_hand(decay: float) -> None:
    budget = replace(BUDGET, weight_decay=decay)
    for ours, expected in zip(trained(budget, images()), by_hand(budget, images(), 5), strict=True):
        assert torch.allclose(ours, expected, atol=1e-5)


def test_gradients_above_five_are_clipped() -> None:
    steep = images(40.0)
    expected, free = by_hand(BUDGET, steep, 5.0), by_hand(BUDGET, steep, None)
    ours = trained(BUDGET, steep)
    assert torch.allclose(ours[0], expected[0], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(expected[0], free[0], rtol=0.1)


def test_the_learning_rate_falls_by_half_a_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = record_rates(
        monkeypatch, "bequest.evaluators.image.training.make_optimizer", training.make_optimizer
    )
    train(network(), images(), replace(BUDGET, batch_size=6), seed=0, flips=False)
    steps = 6
    expected = [[0.2 * (1 + math.cos(math.pi * done / steps)) / 2] for done in range(steps)]
    assert rates == [pytest.approx(rate) for rate in expected]


def test_what_is_measured_by_hand() -> None:
    data, built = images(), network()
    logits = built(data.x)
    measured = scores(built, {"test": data})
    assert measured["test_accuracy"] == float((logits.argmax(1) == data.y).float().mean())
    assert measured["test_loss"] == pytest.approx(float(functional.cross_entropy(logits, data.y)))
