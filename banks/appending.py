"""How records become rows of the bank's tables; a value that is there already stays as it is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import sqlalchemy as sa

from ..errors import BankError
from ..spaces import Space
from . import schema
from .record import FULL, BankTask, Record, design_key, record_key

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
    places = _design_ids(connection, list(designs))
    rows = [
        _row(task_id, task.name, places[key], key, record)
        for key, record in zip(keys, checked, strict=True)
    ]
    _forget_failures(connection, [str(row["key"]) for row in rows if row["value"] is not None])
    return sum(schema.insert_new(connection, schema.records, batch) for batch in _batches(rows))


def _forget_failures(connection: sa.Connection, keys: list[str]) -> None:
    """What failed once and has a value now did not fail for its configuration."""
    columns = schema.records.c
    for batch in _batches(keys, 500):
        failed = columns.key.in_(batch) & columns.value.is_(None)
        connection.execute(schema.records.delete().where(failed))


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
    found = connection.execute(
        sa.select(columns.id, columns.metric, columns.direction).where(columns.name == task.name)
    ).one()
    if tuple(found[1:]) != (task.metric, task.direction):
        raise BankError(
            f"the bank's task {task.name!r} has metric {found.metric!r} to {found.direction}, not "
            f"{task.metric!r} to {task.direction}: give the new task another name"
        )
    return int(found.id)


def _design_ids(connection: sa.Connection, keys: list[str]) -> dict[str, int]:
    ids = {}
    columns = schema.designs.c
    for batch in _batches(keys, 500):
        statement = sa.select(columns.key, columns.id).where(columns.key.in_(batch))
        ids.update({key: int(design) for key, design in connection.execute(statement)})
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
