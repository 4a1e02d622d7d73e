"""SHERL's merge: early states count by how little they resemble the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bequest.evaluators.peft.methods.sherl import Merge

ALIKE, OTHER = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def merge(layers: int, temperature: float) -> Merge:
    """A merge that sees states as they are and gives what it merges."""
    made = Merge(2, 2, layers, temperature)
    for linear in (*made.downs, made.up):
        assert isinstance(linear, nn.Linear)
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    return made


def merged(states: list[Tensor], temperature: float) -> Tensor:
    found: Tensor = merge(len(states), temperature)([s[None, None] for s in states])[0, 0]
    return found


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_three_states_by_hand(temperature: float) -> None:
    # Two are alike: each resembles the others by (1 + 0) / 2, the third one by 0.
    redundancies = torch.tensor([0.5, 0.5, 0.0])
    weights = (-redundancies / temperature).softmax(0)
    expected = weights[0] * ALIKE + weights[1] * ALIKE + weights[2] * OTHER
    assert torch.allclose(
        merged([ALIKE, ALIKE, OTHER], temperature), functional.gelu(expected), atol=1e-6
    )


def test_a_small_temperature_leaves_the_least_redundant_alone() -> None:
    assert torch.allclose(merged([ALIKE, ALIKE, OTHER], 0.01), functional.gelu(OTHER), atol=1e-6)
    flat = merged([ALIKE, ALIKE, OTHER], 100.0)
    assert torch.allclose(flat, functional.gelu((2 * ALIKE + OTHER) / 3), atol=1e-2)
