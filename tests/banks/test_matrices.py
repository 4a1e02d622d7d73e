"""Transfer matrices in a bank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bequest.banks.bank import Bank
from bequest.banks.matrices import append_rows, matrix_of
from bequest.banks.record import Record
from bequest.common.errors import BankError


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(f"sqlite:///{tmp_path / 'bank.db'}")


def test_a_family_has_one_set_of_contexts(bank: Bank) -> None:
    few, many = np.linspace(0, 1, 5)[:, None], np.linspace(0, 1, 8)[:, None]
    append_rows(bank, "sensor", few, ["noise"], [0], np.ones((1, 5)))
    append_rows(bank, "sensor", few, ["noise"], [1], np.ones((1, 5)))
    with pytest.raises(BankError, match="holds family 'sensor' with 5 other contexts"):
        append_rows(bank, "sensor", many, ["noise"], [0], np.ones((1, 8)))
    assert np.isfinite(matrix_of(bank, "sensor")[1]).sum() == 10


def test_what_failed_was_not_measured(bank: Bank) -> None:
    contexts = np.linspace(0, 1, 2)[:, None]
    append_rows(bank, "sensor", contexts, ["noise"], [0], np.array([[-2.0, -4.0]]))
    first, second = bank.tasks
    ((space, done),) = bank.records(first.name)
    bank.append(first, space, [Record(done.config, None, seed=1, error="boom")])
    bank.append(second, space, [Record({"noise": 1.0}, None, error="boom")])
    np.testing.assert_equal(matrix_of(bank, "sensor")[1], [[-2, -4], [np.nan, np.nan]])
