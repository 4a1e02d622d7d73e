"""What people may ask of a fine-tuning: epochs, examples and limits."""

from __future__ import annotations

import pytest

from bequest.common.errors import StudyError, UnknownNameError
from bequest.evaluators.factory import EvaluatorOptions
from bequest.evaluators.finetuning.options import budget_of, limits_of
from bequest.evaluators.text.training import TextBudget


def test_limits_are_taken_by_name() -> None:
    options = EvaluatorOptions(limits=("parameters=1000", "flops=2e9"))
    assert limits_of(options, "peft") == {"parameters": 1000, "flops": 2e9}
    assert limits_of(EvaluatorOptions(), "peft") == {}


def test_a_limit_is_given_once() -> None:
    options = EvaluatorOptions(limits=("parameters=1000", "parameters=10"))
    with pytest.raises(StudyError, match="'peft' takes one limit of each name"):
        limits_of(options, "peft")


def test_a_cost_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="beauty"):
        limits_of(EvaluatorOptions(limits=("beauty=3",)), "peft")


def test_what_is_not_asked_for_stays_as_usual() -> None:
    usual = TextBudget()
    assert budget_of(usual, EvaluatorOptions()) == usual
    asked = budget_of(usual, EvaluatorOptions(epochs=3, examples=70))
    assert (asked.epochs, asked.examples) == (3, 70)
    assert budget_of(usual, EvaluatorOptions(examples=0)).examples is None
