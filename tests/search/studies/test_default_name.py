"""Default names: what is alike has one, what differs has another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bequest import Study
from bequest.banks.bank import Bank
from bequest.common.errors import StudyError
from bequest.evaluators.function import FunctionEvaluator, FunctionTask
from bequest.spaces import Space


def test_another_bank_or_pruner_has_another_usual_name(toy_space: Space, tmp_path: Path) -> None:
    evaluator = FunctionEvaluator(lambda c: 1.0, toy_space, FunctionTask("t", "v", "maximize"))
    options: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 's.db'}", "tracking": False}
    bank = f"sqlite:///{tmp_path / 'bank.db'}"

    def name(sampler: str, **more: Any) -> str:
        return Study(evaluator, sampler=sampler, **options, **more).name

    assert name("transfer") == "t-toy-transfer-s0"
    assert name("transfer", bank="none") == "t-toy-transfer-no-bank-s0"
    assert name("transfer", bank=False) == "t-toy-transfer-no-bank-s0"
    assert name("transfer", pruner="forecast") == "t-toy-transfer-forecast-s0"
    other = name("transfer", bank=bank)
    assert re.fullmatch(r"t-toy-transfer-bank-[0-9a-f]{8}-s0", other)
    assert name("transfer", bank=bank) == name("transfer", bank=Bank(bank)) == other
    # Nothing is inherited: the bank says nothing of the search.
    assert name("random", bank="none") == name("random", bank=bank) == "t-toy-random-s0"


def test_other_limits_are_another_study(toy_space: Space, tmp_path: Path) -> None:
    class Limited(FunctionEvaluator):
        def __init__(self, most: float) -> None:
            super().__init__(lambda config: 1.0, toy_space, FunctionTask("t", "v", "maximize"))
            self.limits = {"memory": most}

    url = f"sqlite:///{tmp_path / 's.db'}"
    options: dict[str, Any] = {"storage": url, "sampler": "random", "tracking": False}
    names = {Study(Limited(most), **options).name for most in (5.0, 6.0, 5.0)}
    assert names == {"t-toy-random-memory-5-s0", "t-toy-random-memory-6-s0"}
    Study(Limited(5.0), name="one", **options)
    with pytest.raises(StudyError, match=r"was begun with limits \{'memory': 5.0\}"):
        Study(Limited(6.0), name="one", **options)
