"""The tables: versions, and databases that cannot be opened."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sqlalchemy import make_url

from bequest.banks.bank import Bank
from bequest.banks.record import BankTask, Record
from bequest.banks.schema import connect, writing
from bequest.common.errors import BankError
from bequest.spaces import Condition, Config, Parameter, Space

SPACE = Space(
    "small",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat"])),
        Parameter("heads", IntDistribution(1, 4), Condition("layer", ("gat",))),
        Parameter("rate", FloatDistribution(0.0, 1.0)),
    ],
    default={"layer": "gcn", "rate": 0.5},
)
GCN: Config = {"layer": "gcn", "rate": 0.25}
GAT: Config = {"layer": "gat", "heads": 2, "rate": 0.75}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


@pytest.fixture
def bank(url: str) -> Bank:
    return Bank(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, url: str) -> str:
    """A bank's URL, on SQLite and on PostgreSQL, where it holds what other tests have left."""
    return url if request.param == "sqlite" else str(request.getfixturevalue("postgresql"))


def test_a_bank_of_the_first_version_is_taken_over(server: str) -> None:
    bank = Bank(server)
    task = BankTask("old", "accuracy")
    bank.append(task, SPACE, [Record(GCN, 0.5), Record(GAT, None, error="boom")])
    mark, before = bank.revision, bank.scores(SPACE)[0].only(["old"])
    with bank.engine.begin() as connection:
        execute = connection.exec_driver_sql
        execute("ALTER TABLE bank_records DROP COLUMN superseded_by")
        if server.startswith("postgresql"):
            execute("ALTER TABLE bank_records ALTER COLUMN seed TYPE INTEGER")
        execute("UPDATE bank_meta SET value = '1' WHERE name = 'schema'")
        execute("UPDATE bank_tasks SET direction = 'max' WHERE name = 'old'")
    bank = Bank(server)
    assert bank.append(task, SPACE, [Record(GAT, 0.9), Record(GCN, 0.7, seed=2**32 - 1)]) == 2
    after = bank.scores(SPACE, until=mark)[0].only(["old"])
    np.testing.assert_array_equal(after.values, before.values)
    assert Bank(server).note("schema") == "2"


def test_a_bank_of_a_later_version_is_refused(bank: Bank, url: str) -> None:
    bank.set_note("schema", "99")
    with pytest.raises(BankError, match="has schema version 99, this Bequest reads 2"):
        Bank(url)


def test_what_cannot_be_opened_says_so() -> None:
    with pytest.raises(BankError, match="cannot open the bank at sqlite:////nowhere/bank.db"):
        Bank("sqlite:////nowhere/bank.db")


def test_a_transaction_that_writes_locks_at_once(url: str) -> None:
    """Two that had read first and then both wanted to write would wait for each other for ever."""
    engine = connect(url)
    path = make_url(url).database
    assert path is not None
    with (
        writing(engine).begin(),
        closing(sqlite3.connect(path, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")
    with engine.begin(), closing(sqlite3.connect(path, timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")  # who only reads keeps nobody from writing
