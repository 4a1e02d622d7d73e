"""The bank: what goes in comes out once, whole, and as the space asks."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest.banks.bank import Bank
from bequest.banks.record import BankTask, Record
from bequest.common.errors import BankError, UnknownNameError
from bequest.spaces import Condition, Config, Parameter, Space
from bequest.testing.banks import BankConformance

SPACE = Space(
    "small",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat"])),
        Parameter("heads", IntDistribution(1, 4), Condition("layer", ("gat",))),
        Parameter("rate", FloatDistribution(0.0, 1.0)),
    ],
    default={"layer": "gcn", "rate": 0.5},
)
TASK = BankTask("photos", "accuracy", kind="node classification", facts={"nodes": 7})
GCN: Config = {"layer": "gcn", "rate": 0.25}
GAT: Config = {"layer": "gat", "heads": 2, "rate": 0.75}


class TestOnDisk(BankConformance):
    @pytest.fixture
    def bank(self, url: str) -> Bank:
        return Bank(url)


class TestInMemory(BankConformance):
    @pytest.fixture
    def bank(self) -> Bank:
        return Bank("sqlite://")


class TestOnPostgreSQL(BankConformance):
    @pytest.fixture
    def bank(self, database: str) -> Bank:
        return Bank(database)

    @pytest.fixture(scope="class")
    def database(self, postgresql: str) -> str:
        """A database of its own: other tests count what is in theirs."""
        engine = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE conformance")
        return postgresql.removesuffix("/postgres") + "/conformance"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


@pytest.fixture
def bank(url: str) -> Bank:
    return Bank(url)


def test_the_old_name_of_a_revision_warns(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5)])
    with pytest.warns(DeprecationWarning, match="is called Bank.revision now"):
        assert bank.mark == bank.revision == 1


def test_a_direction_is_one_of_two() -> None:
    with pytest.raises(UnknownNameError, match="'max': known are maximize, minimize"):
        BankTask("photos", "accuracy", "max")


def test_a_killed_append_loses_and_doubles_nothing(url: str, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_bank import *
bank = Bank({url!r})
for part in range(1000):
    rows = [Record({{"layer": "gcn", "rate": (part * 20 + i) / 20000}}, 0.5) for i in range(20)]
    bank.append(TASK, SPACE, rows)
    print(part, flush=True)
"""
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        said = [0, *map(int, process.stdout.read().split())]
        process.wait()
        count = Bank(url).counts()["photos"]
        assert count % 20 == 0, "an append is there whole or not at all"
        assert count >= 20 * (1 + max(said)), "what was said to be there is there"
        rates = [record.config["rate"] for _, record in Bank(url).records("photos")]
        assert len(set(rates)) == len(rates) == count


def test_a_bank_that_is_damaged_in_the_middle_says_so(bank: Bank, url: str) -> None:
    rates = [{"layer": "gcn", "rate": i / 2000} for i in range(2000)]
    bank.append(TASK, SPACE, [Record(config, 0.5) for config in rates])
    with bank.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    bank.engine.dispose()
    path = Path(url.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[20_000:-20_000] = bytes(0xA5 for _ in content[20_000:-20_000])
    path.write_bytes(content)
    damaged = Bank(url)
    for use in (damaged.counts, lambda: damaged.scores(SPACE), lambda: list(damaged.records("x"))):
        with pytest.raises(BankError, match=r"cannot be used \(.*malformed.*\): try again"):
            use()


# Spaces that overlap in part ----------------------------------------------------------------------


def test_a_bank_in_memory_answers_all_that_one_on_disk_does() -> None:
    bank = Bank("sqlite://")
    bank.append(TASK, SPACE, [Record(GCN, 0.5), Record(GAT, 0.75)])
    scores, _ = bank.scores(SPACE)
    assert scores.values.tolist() == [[0.5, 0.75]]
    with pytest.raises(UnknownNameError, match="photos"):
        list(bank.records("fotos"))
