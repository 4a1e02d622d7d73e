"""The bank: what earlier tasks found, for later ones. SQLite by default, PostgreSQL for a team."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import sqlalchemy as sa

from ..errors import BankError, unknown_name
from ..spaces import Config, Space
from . import schema
from .overlap import Overlap
from .record import FULL, BankTask, Record, design_key, record_key

T = TypeVar("T")

BATCH = 5_000
"""Rows an INSERT carries."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What the tasks of a bank say of the configurations of one space.

    Attributes:
        space: The space.
        tasks: The tasks, in the order of the rows.
        configs: The configurations, in the order of the columns; all of them in the space.
        values: ``[tasks, configs]``, *higher is better*, mean over seeds; NaN where nobody looked,
            and the task's worst value where a training failed.
        origins: For each configuration, the task for which it was bred, or an empty string.
    """

    space: Space
    tasks: tuple[BankTask, ...]
    configs: tuple[Config, ...]
    values: np.ndarray
    origins: tuple[str, ...]

    def without(self, names: Collection[str]) -> Scores:
        """The scores as if these tasks had never been: neither them nor what was bred for them."""
        if not any(t.name in names for t in self.tasks) and not set(names) & set(self.origins):
            return self
        rows = [i for i, task in enumerate(self.tasks) if task.name not in names]
        columns = [j for j, origin in enumerate(self.origins) if origin not in names]
        return self._part(rows, columns)

    def only(self, names: Collection[str]) -> Scores:
        """The scores of these tasks alone."""
        rows = [i for i, task in enumerate(self.tasks) if task.name in names]
        return self._part(rows, list(range(len(self.configs))))

    def _part(self, rows: Sequence[int], columns: Sequence[int]) -> Scores:
        values = self.values[np.ix_(rows, columns)]
        seen = np.flatnonzero((~np.isnan(values)).any(axis=0)).tolist()
        kept = [columns[j] for j in seen]
        return Scores(
            self.space,
            tuple(self.tasks[i] for i in rows),
            tuple(self.configs[j] for j in kept),
            values[:, seen],
            tuple(self.origins[j] for j in kept),
        )


class Bank:
    """Records of (task, configuration, outcome), and fingerprints of tasks.

    Every append is one transaction and can be repeated: the same evaluation is kept once.

    Args:
        url: SQLAlchemy's, for example ``sqlite:///bank.db`` or ``postgresql+psycopg://host/name``.

    Raises:
        BankError: The bank cannot be opened.

    Example:
        >>> bank = Bank("sqlite://")
        >>> from optuna.distributions import FloatDistribution
        >>> from bequest import Parameter, Space
        >>> space = Space("line", [Parameter("x", FloatDistribution(0, 1))])
        >>> bank.append(BankTask("mine", "accuracy"), space, [Record({"x": 0.5}, 0.9)])
        1
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = schema.connect(url)
        self._warm: dict[tuple[str, int], tuple[Scores, list[Overlap]]] = {}

    # Writing ------------------------------------------------------------------------------------

    def append(self, task: BankTask, space: Space, records: Iterable[Record]) -> int:
        """Add what is not there yet, all or nothing.

        Returns:
            How many records were new.

        Raises:
            ConfigurationError: A configuration is not in the space.
            BankError: The bank holds a task of that name with another metric or direction, or a
                value is not finite.
        """
        return self.append_all([(task, space, records)])

    def append_all(
        self,
        parts: Iterable[tuple[BankTask, Space, Iterable[Record]]],
        fingerprints: Iterable[tuple[str, str, Sequence[float]]] = (),
    ) -> int:
        """Add several tasks' records and (task, name, vector) in one transaction; see `append`."""
        with schema.writing(self.engine).begin() as connection:
            added = sum(_append(connection, *part) for part in parts)
            for task, name, vector in fingerprints:
                self._set_fingerprint(connection, task, name, vector)
            return added

    def set_fingerprint(self, task: str, name: str, vector: Sequence[float]) -> None:
        """Keep a task's fingerprint; an earlier one of the same name is replaced.

        Raises:
            UnknownNameError: There is no such task.
        """
        self.append_all([], [(task, name, vector)])

    def _set_fingerprint(
        self, connection: sa.Connection, task: str, name: str, vector: Sequence[float]
    ) -> None:
        task_id = self._id_of(connection, task)
        here = (schema.fingerprints.c.task == task_id) & (schema.fingerprints.c.name == name)
        connection.execute(schema.fingerprints.delete().where(here))
        values = {"task": task_id, "name": name, "vector": [float(v) for v in vector]}
        connection.execute(schema.fingerprints.insert().values(**values))

    def set_note(self, name: str, value: str) -> None:
        """Keep a word about the bank itself, under a name."""
        with schema.writing(self.engine).begin() as connection:
            connection.execute(schema.meta.delete().where(schema.meta.c.name == name))
            connection.execute(schema.meta.insert().values(name=name, value=value))

    # Reading ------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[BankTask]:
        """The tasks, by name."""
        with self.engine.connect() as connection:
            return _tasks(connection)

    def counts(self) -> dict[str, int]:
        """How many records each task has."""
        statement = (
            sa.select(schema.tasks.c.name, sa.func.count(schema.records.c.id))
            .join_from(schema.tasks, schema.records, isouter=True)
            .group_by(schema.tasks.c.name)
            .order_by(schema.tasks.c.name)
        )
        with self.engine.connect() as connection:
            return {str(name): int(count) for name, count in connection.execute(statement)}

    def spaces(self) -> list[Space]:
        """The spaces that the records' configurations come from."""
        statement = sa.select(schema.spaces.c.space).order_by(schema.spaces.c.hash)
        with self.engine.connect() as connection:
            return [Space.from_json(row[0]) for row in connection.execute(statement)]

    def records(self, task: str) -> Iterator[tuple[Space, Record]]:
        """A task's records, each with the space of its configuration, in the order of arrival.

        Raises:
            UnknownNameError: There is no such task.
        """
        spaces = {space.hash: space for space in self.spaces()}
        r, d = schema.records.c, schema.designs.c
        statement = (
            sa.select(
                *(d.space, d.config, r.value, r.metrics, r.seed, r.fidelity, r.seconds),
                *(r.curve, r.error, r.source, d.origin),
            )
            .join_from(schema.records, schema.designs)
            .order_by(r.id)
        )
        with self.engine.connect() as connection:
            task_id = self._id_of(connection, task)
            for row in connection.execute(statement.where(r.task == task_id)):
                space, config, value, metrics, seed, fidelity, seconds, curve, *rest = row
                yield (
                    spaces[space],
                    Record(
                        config,
                        value,
                        metrics,
                        seed,
                        fidelity,
                        math.nan if seconds is None else seconds,
                        {int(step): v for step, v in curve.items()},
                        *rest,
                    ),
                )

    def fingerprints(self, name: str) -> dict[str, np.ndarray]:
        """The fingerprints of that name, by task."""
        statement = (
            sa.select(schema.tasks.c.name, schema.fingerprints.c.vector)
            .join_from(schema.tasks, schema.fingerprints)
            .where(schema.fingerprints.c.name == name)
            .order_by(schema.tasks.c.name)
        )
        with self.engine.connect() as connection:
            return {task: np.array(vector) for task, vector in connection.execute(statement)}

    def fingerprint_names(self) -> list[str]:
        """The kinds of fingerprints that there are."""
        name = schema.fingerprints.c.name
        with self.engine.connect() as connection:
            return [row[0] for row in connection.execute(sa.select(name).distinct().order_by(name))]

    def note(self, name: str) -> str | None:
        """What `set_note` kept."""
        statement = sa.select(schema.meta.c.value).where(schema.meta.c.name == name)
        with self.engine.connect() as connection:
            value: str | None = connection.execute(statement).scalar()
        return value

    @property
    def mark(self) -> int:
        """A mark that grows with every record: `scores` can be asked for as of then."""
        with self.engine.connect() as connection:
            last = connection.execute(sa.select(sa.func.max(schema.records.c.id))).scalar()
        return int(last or 0)

    def scores(self, space: Space, until: int | None = None) -> tuple[Scores, list[Overlap]]:
        """All that whole trainings in the bank say of a space.

        Configurations of other spaces are carried over where they can be (see `Overlap`).

        Args:
            space: The space.
            until: A `mark`: what was added after it is left out, so that a study which is resumed
                inherits what it began with.

        Returns:
            The scores, and for each space in the bank how it overlaps with this one. They are
            kept: asked again, a bank in which nothing was added answers at once.
        """
        asked = (space.hash, self.mark if until is None else until)
        if asked not in self._warm:
            self._warm = {asked: self._scores(space, asked[1])}
        return self._warm[asked]

    def _scores(self, space: Space, until: int) -> tuple[Scores, list[Overlap]]:
        overlaps = [Overlap(other, space) for other in self.spaces()]
        configs: list[Config] = []
        origins: list[str] = []
        place_of_design: dict[int, int] = {}
        place_of_key: dict[str, int] = {}
        with self.engine.connect() as connection:
            for overlap in overlaps:
                if overlap.refused is not None:
                    continue
                d = schema.designs.c
                found = connection.execute(
                    sa.select(d.id, d.config, d.origin)
                    .where(d.space == overlap.source.hash)
                    .order_by(d.id)
                )
                for design, config, origin in found:
                    carried = overlap.carry(config)
                    if carried is None:
                        continue
                    key = json.dumps(space.canonical(carried), sort_keys=True)
                    if key not in place_of_key:
                        place_of_key[key] = len(configs)
                        configs.append(carried)
                        origins.append(origin)
                    place_of_design[design] = place_of_key[key]
            tasks = _tasks(connection)
            values = _mean_scores(connection, tasks, place_of_design, len(configs), until)
        scores = Scores(space, tuple(tasks), tuple(configs), values, tuple(origins))
        known = {t.name for t, row in zip(tasks, values, strict=True) if not np.isnan(row).all()}
        return scores.only(known), overlaps  # configurations that nobody scored are gone, too

    def _id_of(self, connection: sa.Connection, task: str) -> int:
        statement = sa.select(schema.tasks.c.id).where(schema.tasks.c.name == task)
        found = connection.execute(statement).scalar()
        if found is None:
            raise unknown_name("task in the bank", task, [t.name for t in _tasks(connection)])
        return int(found)

    def __repr__(self) -> str:
        return f"Bank({self.url!r}, {sum(self.counts().values())} records)"


def _tasks(connection: sa.Connection) -> list[BankTask]:
    """The tasks, by name."""
    columns = schema.tasks.c
    statement = sa.select(
        columns.name, columns.metric, columns.direction, columns.kind, columns.facts
    ).order_by(columns.name)
    return [BankTask(*row) for row in connection.execute(statement)]


def _append(
    connection: sa.Connection, task: BankTask, space: Space, records: Iterable[Record]
) -> int:
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
    return sum(schema.insert_new(connection, schema.records, batch) for batch in _batches(rows))


def _mean_scores(
    connection: sa.Connection,
    tasks: list[BankTask],
    places: Mapping[int, int],
    width: int,
    until: int,
) -> np.ndarray:
    """``[tasks, width]``: the mean over seeds of each task's values, higher is better."""
    r = schema.records.c
    ids = {
        name: i for i, name in connection.execute(sa.select(schema.tasks.c.id, schema.tasks.c.name))
    }
    rows_of = {ids[task.name]: row for row, task in enumerate(tasks)}
    statement = sa.select(r.task, r.design, r.value).where((r.fidelity == FULL) & (r.id <= until))
    found = connection.execute(statement).fetchall()
    if not found or not width:
        return np.full((len(tasks), width), np.nan)
    array = np.array([(t, d, math.nan if v is None else v) for t, d, v in found])
    lookup = np.full(int(array[:, 1].max()) + 1, -1)
    for design, place in places.items():
        if design < len(lookup):
            lookup[design] = place
    columns = lookup[array[:, 1].astype(int)]
    array, columns = array[columns >= 0], columns[columns >= 0]
    rows = np.array([rows_of[int(t)] for t in array[:, 0]], dtype=int)
    signs = np.array([1.0 if t.direction == "maximize" else -1.0 for t in tasks])
    scores = array[:, 2] * signs[rows]
    worst = np.full(len(tasks), np.inf)
    np.fmin.at(worst, rows, scores)
    scores = np.where(np.isnan(scores), worst[rows], scores)
    known = np.isfinite(scores)
    sums, counts = np.zeros((len(tasks), width)), np.zeros((len(tasks), width))
    np.add.at(sums, (rows[known], columns[known]), scores[known])
    np.add.at(counts, (rows[known], columns[known]), 1)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = sums / counts
    return means


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
