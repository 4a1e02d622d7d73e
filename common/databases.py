"""How SQLite is opened where several processes write, and databases' URLs as people see them."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import sqlalchemy

PATIENCE = 60.0
"""Seconds for which a database that somebody else is opening, too, is asked again."""


def shown(url: str) -> str:
    """A database's URL for people: without its password."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def use_write_ahead_log(connection: Any) -> None:
    """Readers and one writer at a time do not wait for each other; a commit costs no full sync.

    The switch to the log wants the database for itself for a moment and, unlike all else, does not
    wait for it, whatever the connection's timeout: where several processes open a new database at
    once, it is asked for again.

    Args:
        connection: A DB-API connection, outside a transaction.

    Raises:
        sqlite3.OperationalError: The database stays locked.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous=NORMAL")
