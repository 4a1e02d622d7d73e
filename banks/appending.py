"""Turns records into rows of the bank's tables; a value that is stored already stays as it is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import sqlalchemy as sa

from ..common.errors import BankError
from ..spaces import Space
from . import schema
from .record import FULL, BankTask, Record, design_key, record_key, superseded_key

T = TypeVar("T")

BATCH = 5_000
"""Rows an INSERT carries."""


def append_records(
    connection: sa.Connection, task: BankTask, space: Space, records: Iterable[Record]
) -> int:
    """Add what is not there yet inside a transaction; returns how many were new.

    Raises:
        ConfigurationError: A configuration is not in the space.
        BankError: The bank holds a task of that name with another metric or direction, or a
            value is not finite.
    """
    checked = [_checked(space, record) for record in records]
    keys = [design_key(space, record.config) for record in checked]
    task_id = _task_id(connection, task)
    schema.insert_new(connection, schema.spaces, [{"hash": space.hash, "space": space.to_json()}])
    designs = {
        key: {"key": key, "space": space.hash, "config": r.config, "origin": r.origin}
        for key, r in zip(keys, checked, strict=True)
    }
    for batch in _batches(list(designs.values())):
        schema.insert_new(connection, schema.designs, batch)
    design_ids = _ids(connection, schema.designs, list(designs))
    rows = [
        _row(task_id, task.name, design_ids[key], key, record)
        for key, record in zip(keys, checked, strict=True)
    ]
    valued = [str(row["key"]) for row in rows if row["value"] is not None]
    failed = schema.records.c.value.is_(None)
    failures = _ids(connection, schema.records, valued, failed)
    _rename(connection, failures)
    added = sum(schema.insert_new(connection, schema.records, batch) for batch in _batches(rows))
    _supersede(connection, failures)
    return added


def _rename(connection: sa.Connection, failures: dict[str, int]) -> None:
    """Free the keys of failures that have a value now: the configuration was not the reason."""
    columns = schema.records.c
    for key, failure in failures.items():
        renamed = schema.records.update().where(columns.id == failure)
        connection.execute(renamed.values(key=superseded_key(key)))


def _supersede(connection: sa.Connection, failures: dict[str, int]) -> None:
    """Note which values replaced failures: earlier revisions still show the failures."""
    columns = schema.records.c
    for key, value in _ids(connection, schema.records, list(failures)).items():
        superseded = schema.records.update().where(columns.id == failures[key])
        connection.execute(superseded.values(superseded_by=value))


def _checked(space: Space, record: Record) -> Record:
    numbers = [v for v in (record.value, *record.metrics.values()) if v is not None]
    if not all(math.isfinite(v) for v in numbers):
        raise BankError(f"a record of {record.config} holds a value that is not finite")
    if not 0 < record.fidelity <= FULL:
        raise BankError(f"fidelity {record.fidelity} is not a share of a training in (0, 1]")
    return replace(record, config=space.validate(record.config))


def _task_id(connection: sa.Connection, task: BankTask) -> int:
    values = {"name": task.name, "metric": task.metric, "direction": task.direction}
    values |= {"kind": task.kind, "facts": json.loads(json.dumps(task.facts, default=str))}
    schema.insert_new(connection, schema.tasks, [values])
    columns = schema.tasks.c
    row = connection.execute(
        sa.select(columns.id, columns.metric, columns.direction).where(columns.name == task.name)
    ).one()
    if tuple(row[1:]) != (task.metric, task.direction):
        raise BankError(
            f"the bank's task {task.name!r} has metric {row.metric!r} to {row.direction}, not "
            f"{task.metric!r} to {task.direction}: give the new task another name"
        )
    return int(row.id)


def _ids(
    connection: sa.Connection,
    table: sa.Table,
    keys: list[str],
    also: sa.ColumnElement[bool] | None = None,
) -> dict[str, int]:
    """The ids of a table's rows with these keys, of those where something else holds, too."""
    ids = {}
    for batch in _batches(keys, 500):
        statement = sa.select(table.c.key, table.c.id).where(table.c.key.in_(batch))
        rows = connection.execute(statement if also is None else statement.where(also))
        ids.update({key: int(row) for key, row in rows})
    return ids


def _row(task_id: int, task: str, design: int, key: str, record: Record) -> dict[str, object]:
    return {
        "key": record_key(task, key, record.seed, record.fidelity),
        "task": task_id,
        "design": design,
        "seed": record.seed,
        "fidelity": record.fidelity,
        "value": record.value,
        "seconds": None if math.isnan(record.seconds) else record.seconds,
        "metrics": record.metrics,
        "curve": record.curve,
        "error": record.error,
        "source": record.source,
    }


def _batches(rows: list[T], size: int = BATCH) -> Iterator[list[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
