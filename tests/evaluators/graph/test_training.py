"""The optimisers of graph networks, one step at a time by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bequest.evaluators.graph.training import train
from tests.evaluators.steps import HandSgd, first_adam_step

START = torch.tensor([[2.0, -3.0]])
SLOPES = torch.tensor([[0.5, 0.25]])
"""A decay of .5 turns the second one's sign: Adam's first step sees nothing but signs."""


class Slope:
    """A problem whose gradient is the same everywhere."""

    def __init__(self, metrics: list[float] | None = None) -> None:
        self.metrics = metrics or []
        self.asked = 0

    def batches(self) -> list[None]:
        return [None]

    def loss(self, network: nn.Linear, batch: None) -> Tensor:
        return (network.weight * SLOPES).sum()

    def score(self, network: nn.Module, part: str) -> tuple[float, float]:
        self.asked += 1
        return self.metrics[self.asked - 1], 0.0


def trained(epochs: int, problem: Slope | None = None, **config: Any) -> Tensor:
    network = nn.Linear(2, 1, bias=False)
    network.weight.data = START.clone()
    settings = {"optimizer": "adam", "learning_rate": 0.1, "weight_decay": 0.0, **config}
    train(network, problem or Slope(), settings, epochs=epochs, patience=None)  # type: ignore[arg-type]
    return network.weight.detach()


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_adam_by_hand(rate: float, decay: float) -> None:
    expected = first_adam_step(START, SLOPES, rate, decay=decay)
    assert torch.allclose(trained(1, learning_rate=rate, weight_decay=decay), expected, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_sgd_by_hand(decay: float) -> None:
    sgd, weights = HandSgd(0.9, nesterov=False), [START]
    for _ in range(3):
        weights = sgd.step(weights, [SLOPES], 0.1, [decay])
    assert torch.allclose(trained(3, optimizer="sgd", weight_decay=decay), weights[0], atol=1e-6)


def test_every_second_epoch_is_judged() -> None:
    problem = Slope([0.1, 0.2, 0.3])
    config = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0}
    seen: list[int] = []
    network: Any = nn.Linear(2, 1, bias=False)
    train(
        network,
        problem,  # type: ignore[arg-type]
        config,
        epochs=5,
        patience=9,
        report=lambda epoch, metric: seen.append(epoch),
    )
    assert seen == [2, 4, 5]
