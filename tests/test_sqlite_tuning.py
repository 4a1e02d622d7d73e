"""A new database that many open at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from bequest import sqlite_tuning
from bequest.sqlite_tuning import use_write_ahead_log


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
    monkeypatch.setattr(sqlite_tuning, "PATIENCE", 0.1)
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_write_ahead_log(sqlite3.connect(tmp_path / "x.db", timeout=0.01))
    holder.close()
