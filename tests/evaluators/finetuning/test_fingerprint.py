"""Statistics of a task's classes and features, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.evaluators.finetuning.fingerprint import class_statistics

LABELS = torch.tensor([0, 0, 0, 1] * 8)


def test_rank_and_share_between_classes_of_two_directions() -> None:
    """Centred, the spectrum is that of two columns: 4 : 1 gives a participation of 25 / 17."""
    first = torch.tensor([2.0, -2.0, 2.0, -2.0] * 8)
    second = torch.tensor([1.0, 1.0, -1.0, -1.0] * 8)
    features = torch.stack([first, second, torch.zeros(32), torch.zeros(32)], 1) + 7
    found = class_statistics(LABELS, features, 2)
    assert found["effective_rank"] == pytest.approx(25 / 17 / 4)
    # Means (2/3, 1/3) of 24 and (-2, -1) of 8 examples; in all 32 * (4 + 1).
    assert found["between_classes"] == pytest.approx((24 * 5 / 9 + 8 * 5) / 160)


def test_counts_and_the_entropy_of_classes() -> None:
    labels = LABELS.repeat(100)
    found = class_statistics(labels, torch.nn.functional.one_hot(labels, 2).float(), 2)
    assert found["log_examples"] == pytest.approx(math.log10(3200))
    assert found["log_classes"] == pytest.approx(math.log10(2))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert found["class_entropy"] == pytest.approx(entropy)
    assert found["probe_lift"] == pytest.approx(1.0)
    assert 0 <= found["probe_loss"] < 1
