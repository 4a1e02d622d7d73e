"""The scores that the tasks of a bank give the configurations of one space, as one matrix."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from ..spaces import Config, Space
from . import schema
from .overlap import Overlap
from .record import FULL, BankTask


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores that the tasks of a bank give the configurations of one space.

    Attributes:
        space: The space.
        tasks: The tasks, in the order of the rows.
        configs: The configurations, in the order of the columns, which is that of their arrival;
            all of them in the space.
        values: ``[tasks, configs]``, *higher is better*, mean over seeds; NaN where nothing was
            measured, and the task's worst value where a training failed.
        origins: For each configuration, the task for which it was searched, or an empty string.
    """

    space: Space
    tasks: tuple[BankTask, ...]
    configs: tuple[Config, ...]
    values: np.ndarray
    origins: tuple[str, ...]

    def without(self, names: Collection[str]) -> Scores:
        """The scores without these tasks and the configurations that were searched for them."""
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
        scored = [columns[j] for j in seen]
        return Scores(
            self.space,
            tuple(self.tasks[i] for i in rows),
            tuple(self.configs[j] for j in scored),
            values[:, seen],
            tuple(self.origins[j] for j in scored),
        )


def read_scores(
    connection: sa.Connection, space: Space, overlaps: Sequence[Overlap], until: int
) -> Scores:
    """Read the scores that whole trainings give the configurations of a space.

    Args:
        connection: To the bank.
        space: The space.
        overlaps: How each space in the bank overlaps with it.
        until: The last record that counts.
    """
    configs: list[Config] = []
    origins: list[str] = []
    column_of_design: dict[int, int] = {}
    column_of_key: dict[str, int] = {}
    carries = {o.source.hash: o.carry for o in overlaps if o.refused is None}
    d = schema.designs.c
    statement = sa.select(d.id, d.space, d.config, d.origin).where(d.space.in_(list(carries)))
    # In the order of arrival, whatever their space: later designs change no earlier column.
    for design, source, config, origin in connection.execute(statement.order_by(d.id)):
        carried = carries[source](config)
        if carried is None:
            continue
        key = json.dumps(space.canonical(carried), sort_keys=True)
        if key not in column_of_key:
            column_of_key[key] = len(configs)
            configs.append(carried)
            origins.append(origin)
        column_of_design[design] = column_of_key[key]
    tasks = read_tasks(connection)
    values = _mean_scores(connection, tasks, column_of_design, len(configs), until)
    scores = Scores(space, tuple(tasks), tuple(configs), values, tuple(origins))
    scored = {t.name for t, row in zip(tasks, values, strict=True) if not np.isnan(row).all()}
    return scores.only(scored)  # configurations that nobody scored are gone, too


def read_tasks(connection: sa.Connection) -> list[BankTask]:
    """The tasks, by name."""
    columns = schema.tasks.c
    statement = sa.select(
        columns.name, columns.metric, columns.direction, columns.kind, columns.facts
    ).order_by(columns.name)
    return [BankTask(*row) for row in connection.execute(statement)]


def _mean_scores(
    connection: sa.Connection,
    tasks: list[BankTask],
    column_of: Mapping[int, int],
    width: int,
    until: int,
) -> np.ndarray:
    """``[tasks, width]``: the mean over seeds of each task's values, higher is better."""
    r = schema.records.c
    ids = {
        name: i for i, name in connection.execute(sa.select(schema.tasks.c.id, schema.tasks.c.name))
    }
    rows_of = {ids[task.name]: row for row, task in enumerate(tasks)}
    whole = (r.fidelity == FULL) & schema.counting(until)
    # In their order, or the sums over seeds could differ in their last bits.
    statement = sa.select(r.task, r.design, r.value).where(whole).order_by(r.id)
    rows_read = connection.execute(statement).fetchall()
    if not rows_read or not width:
        return np.full((len(tasks), width), np.nan)
    array = np.array([(t, d, math.nan if v is None else v) for t, d, v in rows_read])
    lookup = np.full(int(array[:, 1].max()) + 1, -1)
    for design, column in column_of.items():
        if design < len(lookup):
            lookup[design] = column
    columns = lookup[array[:, 1].astype(int)]
    array, columns = array[columns >= 0], columns[columns >= 0]
    rows = np.array([rows_of[int(t)] for t in array[:, 0]], dtype=int)
    signs = np.array([1.0 if t.direction == "maximize" else -1.0 for t in tasks])
    scores = array[:, 2] * signs[rows]
    worst = np.full(len(tasks), np.inf)
    np.fmin.at(worst, rows, scores)
    scores = np.where(np.isnan(scores), worst[rows], scores)
    present = np.isfinite(scores)
    sums, counts = np.zeros((len(tasks), width)), np.zeros((len(tasks), width))
    np.add.at(sums, (rows[present], columns[present]), scores[present])
    np.add.at(counts, (rows[present], columns[present]), 1)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = sums / counts
    return means
