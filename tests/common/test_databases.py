"""A new database that many open at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from bequest.banks.bank import Bank
from bequest.common import databases
from bequest.common.databases import shown, use_write_ahead_log
from bequest.common.errors import BankError


def _open(folder: str, start: Barrier) -> None:
    for number in range(50):  # one database is opened at the same moment by luck only
        start.wait()
        connection = sqlite3.connect(f"{folder}/{number}.db", timeout=60)
        use_write_ahead_log(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS seen (number INTEGER)")
        connection.close()


def test_processes_open_new_databases_at_the_same_moment(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(6, timeout=60)
    processes = [context.Process(target=_open, args=(str(tmp_path), start)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6


def test_a_database_that_stays_locked_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PATIENCE", 0.1)
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_write_ahead_log(sqlite3.connect(tmp_path / "x.db", timeout=0.01))
    holder.close()


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql+psycopg://me:secret@host/x", "postgresql+psycopg://me:***@host/x"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("no url", "no url"),
    ],
)
def test_passwords_are_not_shown(url: str, seen: str) -> None:
    assert shown(url) == seen


def test_a_bank_that_cannot_be_reached_keeps_its_password() -> None:
    with pytest.raises(BankError) as error:
        Bank("postgresql+psycopg://me:secret@127.0.0.1:1/x")
    assert "me:***@127.0.0.1" in str(error.value)
    assert "secret" not in str(error.value)
