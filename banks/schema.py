"""The bank's tables, and how a connection to them is tuned."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ..common.databases import shown, use_write_ahead_log
from ..common.errors import BankError, reason_of

SCHEMA_VERSION = 2

metadata = sa.MetaData()

meta = sa.Table(
    "bank_meta",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
spaces = sa.Table(
    "bank_spaces",
    metadata,
    sa.Column("hash", sa.String(16), primary_key=True),
    sa.Column("space", sa.JSON, nullable=False),
)
tasks = sa.Table(
    "bank_tasks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("metric", sa.String(64), nullable=False),
    sa.Column("direction", sa.String(8), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
)
# A configuration is kept once, however many tasks and seeds it was evaluated on: a million records
# of ten thousand configurations load in a second because only numbers are read.
designs = sa.Table(
    "bank_designs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(24), nullable=False, unique=True),
    sa.Column("space", sa.String(16), sa.ForeignKey(spaces.c.hash), nullable=False, index=True),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("origin", sa.String(255), nullable=False),
)
# Rows are only ever added, and one append at a time: the ids of later rows are above every
# revision (see `Bank.revision`). A failure that a value has replaced stays for earlier revisions.
records = sa.Table(
    "bank_records",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(24), nullable=False, unique=True),
    sa.Column("task", sa.Integer, sa.ForeignKey(tasks.c.id), nullable=False, index=True),
    sa.Column("design", sa.Integer, sa.ForeignKey(designs.c.id), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("fidelity", sa.Float, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("seconds", sa.Float),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("curve", sa.JSON, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("source", sa.String(255), nullable=False),
    sa.Column("superseded_by", sa.Integer),
)
fingerprints = sa.Table(
    "bank_fingerprints",
    metadata,
    sa.Column("task", sa.Integer, sa.ForeignKey(tasks.c.id), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("vector", sa.JSON, nullable=False),
)


def connect(url: str) -> sa.Engine:
    """An engine on the bank at ``url``; its tables are made where they are missing.

    Raises:
        BankError: It cannot be opened, or another version of Bequest has written it.
    """
    try:
        engine = sa.create_engine(url, connect_args=_arguments(url))
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _tune_sqlite)
            sa.event.listen(engine, "begin", _begin)
        with writing(engine).begin() as connection:
            lock(connection)
            metadata.create_all(connection)
            _check_version(connection)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        reason = reason_of(error)
        raise BankError(f"cannot open the bank at {shown(url)}: {reason}") from error
    return engine


def writing(engine: sa.Engine) -> sa.Engine:
    """The engine for transactions that write: on SQLite they take their lock at once."""
    return engine.execution_options(bequest_writes=True)


def counting(until: int | None = None) -> sa.ColumnElement[bool]:
    """Which records count; those that did when the revision (see `Bank.revision`) was ``until``.

    A failure counts until a value takes its place.
    """
    columns = records.c
    if until is None:
        return columns.superseded_by.is_(None)
    standing = columns.superseded_by.is_(None) | (columns.superseded_by > until)
    return (columns.id <= until) & standing


def lock(connection: sa.Connection) -> None:
    """Let no other transaction write until this one ends.

    PostgreSQL gives ids when rows are inserted, not when they are committed: of two appends at
    once, the one with the smaller ids could come last, below a revision that was read meanwhile.
    """
    if connection.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE has locked already
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(20261123)"))


def insert_new(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> int:
    """Insert the rows whose key is not there yet; return how many that were."""
    if not rows:
        return 0
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        statement: Any = insert_postgresql(table).on_conflict_do_nothing()
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        statement = insert_sqlite(table).on_conflict_do_nothing()
    inserted = connection.execute(statement.returning(*table.primary_key), rows)
    return len(inserted.fetchall())


def _arguments(url: str) -> dict[str, Any]:
    return {"timeout": 60} if url.startswith("sqlite") else {}


def _tune_sqlite(connection: Any, _: object) -> None:
    # pysqlite would begin a transaction late and without a lock: two writers would deadlock.
    connection.isolation_level = None
    use_write_ahead_log(connection)


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("bequest_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_version(connection: sa.Connection) -> None:
    version = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema")).scalar()
    if version is None:
        connection.execute(meta.insert().values(name="schema", value=str(SCHEMA_VERSION)))
    elif int(version) == 1:
        _migrate(connection)
    elif int(version) != SCHEMA_VERSION:
        raise BankError(
            f"the bank has schema version {version}, this Bequest reads {SCHEMA_VERSION}: export "
            "it with the Bequest that wrote it, and import that"
        )


def _migrate(connection: sa.Connection) -> None:
    """From version 1 to version 2.

    The first deleted failures that a value had replaced, and took any word for a direction: all but
    "maximize" was read as "minimize".
    """
    execute = connection.exec_driver_sql
    execute("ALTER TABLE bank_records ADD COLUMN superseded_by INTEGER")
    if connection.dialect.name == "postgresql":  # SQLite's integers are as long as they need to be
        execute("ALTER TABLE bank_records ALTER COLUMN seed TYPE BIGINT")
    direction = sa.func.lower(tasks.c.direction)
    meant = sa.case((direction.like("max%"), "maximize"), else_="minimize")
    connection.execute(tasks.update().values(direction=meant))
    connection.execute(
        meta.update().where(meta.c.name == "schema").values(value=str(SCHEMA_VERSION))
    )
