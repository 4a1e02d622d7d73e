"""DAS' bandit: blocks whose absence makes the loss better than usual are preferred."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bequest.evaluators.peft import attach
from bequest.evaluators.peft.methods.das import SkippingHandle
from tests.evaluators.peft.backbones import make_backbone


def bandit(**knobs: float) -> SkippingHandle:
    handle = attach(make_backbone("bert"), "das", **{"skip": 1, "bottleneck": 4, **knobs})
    assert isinstance(handle, SkippingHandle)
    return handle


def moved(before: Tensor, drawn: list[float], reward: float) -> Tensor:
    return before + 0.5 * reward * (torch.tensor(drawn) - before.softmax(0))


def test_preferences_by_hand() -> None:
    handle = bandit()
    handle._set(torch.tensor([0]))
    handle.learn(2.0)  # the first loss is the baseline: nothing is learned from it
    assert handle.preferences.tolist() == [0.0, 0.0, 0.0]
    handle.learn(1.0)
    expected = moved(torch.zeros(3), [1, 0, 0], 2.0 - 1.0)
    assert torch.allclose(handle.preferences, expected)
    handle._set(torch.tensor([2]))
    handle.learn(3.0)  # worse than the running mean of .9 * 2 + .1 * 1
    expected = moved(expected, [0, 0, 1], 1.9 - 3.0)
    assert torch.allclose(handle.preferences, expected)


def test_two_that_are_skipped_share_a_reward() -> None:
    handle = bandit(skip=2)
    handle._set(torch.tensor([0, 2]))
    handle.learn(2.0)
    handle.learn(1.0)
    assert torch.allclose(handle.preferences, moved(torch.zeros(3), [0.5, 0, 0.5], 1.0))


def test_the_search_ends_with_the_preferred_blocks() -> None:
    handle = bandit(search_share=0.5)
    torch.manual_seed(0)
    handle.advance(0.0, 0.0)
    assert int(handle.skipped.sum()) == 1
    handle.preferences.copy_(torch.tensor([0.0, 5.0, 1.0]))
    handle.advance(0.5, 1.0)
    assert handle.skipped.tolist() == [False, True, False]
    handle.advance(0.9, -100.0)  # settled: later losses change nothing
    assert handle.skipped.tolist() == [False, True, False]
    assert handle.preferences[1] == pytest.approx(5.0)
