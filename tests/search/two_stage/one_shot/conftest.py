"""A supernet of NAS-Bench-201's cells on digits, small enough for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bequest.evaluators.datasets import load_task
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.evaluators.image.tasks import ImageClassification
from bequest.evaluators.image.training import Budget
from bequest.evaluators.supernet import Supernet


@pytest.fixture(scope="session")
def digits() -> ImageClassification:
    task = load_task("digits")
    assert isinstance(task, ImageClassification)
    return task


@pytest.fixture
def evaluator(digits: ImageClassification) -> ImageEvaluator:
    return ImageEvaluator(digits, budget=Budget(epochs=2, images=200, batch_size=32), channels=4)


@pytest.fixture
def make_supernet(evaluator: ImageEvaluator) -> Callable[..., Supernet]:
    def make(**options: Any) -> Supernet:
        return evaluator.supernet(seed=0, **options)

    return make
