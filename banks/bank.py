"""The bank: what was measured on earlier tasks. SQLite by default, PostgreSQL for a team."""

from __future__ import annotations

import json
import math
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import sqlalchemy as sa

from ..common.databases import shown
from ..common.errors import BankError, reason_of, unknown_name
from ..spaces import Space
from . import schema
from .appending import append_records
from .overlap import Overlap
from .record import BankTask, Record
from .scores import Scores, read_scores, read_tasks

IDENTITY = "identity"

NO_BANK = "none"
"""What stands for no bank where a URL is expected."""


class Bank:
    """Records of (task, configuration, outcome), and fingerprints of tasks.

    Every append is one transaction and can be repeated: the same evaluation is stored once.

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
        self.engine = schema.connect(url)
        self.url = url
        self._warm: dict[tuple[str, int], tuple[Scores, list[Overlap]]] = {}

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return shown(self.url)

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
        with self._writing() as connection:
            schema.lock(connection)
            added = sum(append_records(connection, *part) for part in parts)
            for task, name, vector in fingerprints:
                self._set_fingerprint(connection, task, name, vector)
            return added

    def set_fingerprint(self, task: str, name: str, vector: Sequence[float]) -> None:
        """Store a task's fingerprint; an earlier one of the same name is replaced.

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
        """Store a text about the bank itself under a name."""
        with self._writing() as connection:
            connection.execute(schema.meta.delete().where(schema.meta.c.name == name))
            connection.execute(schema.meta.insert().values(name=name, value=value))

    # Reading ------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[BankTask]:
        """The tasks, by name."""
        with self._reading() as connection:
            return read_tasks(connection)

    def counts(self) -> dict[str, int]:
        """How many records each task has."""
        statement = (
            sa.select(schema.tasks.c.name, sa.func.count(schema.records.c.id))
            .join_from(
                schema.tasks,
                schema.records,
                (schema.records.c.task == schema.tasks.c.id) & schema.counting(),
                isouter=True,
            )
            .group_by(schema.tasks.c.name)
            .order_by(schema.tasks.c.name)
        )
        with self._reading() as connection:
            return {str(name): int(count) for name, count in connection.execute(statement)}

    def spaces(self) -> list[Space]:
        """The spaces that the records' configurations come from."""
        statement = sa.select(schema.spaces.c.space).order_by(schema.spaces.c.hash)
        with self._reading() as connection:
            return [Space.from_json(row[0]) for row in connection.execute(statement)]

    def records(self, task: str, until: int | None = None) -> Iterator[tuple[Space, Record]]:
        """A task's records, each with the space of its configuration, in the order of arrival.

        Args:
            task: The task's name.
            until: A `revision`: what was added after it is left out.

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
            .where(schema.counting(until))
            .order_by(r.id)
        )
        with self._reading() as connection:
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
        with self._reading() as connection:
            return {task: np.array(vector) for task, vector in connection.execute(statement)}

    def fingerprint_names(self) -> list[str]:
        """The kinds of fingerprints that there are."""
        name = schema.fingerprints.c.name
        with self._reading() as connection:
            return [row[0] for row in connection.execute(sa.select(name).distinct().order_by(name))]

    def note(self, name: str) -> str | None:
        """The text that `set_note` stored; ``None`` if there is none."""
        statement = sa.select(schema.meta.c.value).where(schema.meta.c.name == name)
        with self._reading() as connection:
            value: str | None = connection.execute(statement).scalar()
        return value

    @property
    def identity(self) -> str:
        """A name that no other bank has, whatever its URL; given when it is first asked for."""
        name = self.note(IDENTITY)
        if name is None:
            with self._writing() as connection:
                row = {"name": IDENTITY, "value": uuid.uuid4().hex}
                schema.insert_new(connection, schema.meta, [row])
            name = self.note(IDENTITY)
        assert name is not None
        return name

    @property
    def revision(self) -> int:
        """A number that grows with every record: `scores` can be asked for as of then."""
        with self._reading() as connection:
            last = connection.execute(sa.select(sa.func.max(schema.records.c.id))).scalar()
        return int(last or 0)

    @property
    def mark(self) -> int:
        """The old name of `revision`; deprecated."""
        warnings.warn("Bank.mark is called Bank.revision now", DeprecationWarning, stacklevel=2)
        return self.revision

    def scores(self, space: Space, until: int | None = None) -> tuple[Scores, list[Overlap]]:
        """The scores that whole trainings in the bank give the configurations of a space.

        Configurations of other spaces are carried over where they can be (see `Overlap`).

        Args:
            space: The space.
            until: A `revision`: what was added after it is left out, so that a resumed study starts
                from the same records.

        Returns:
            The scores, and for each space in the bank how it overlaps with this one. They are
            kept: asked again, a bank in which nothing was added answers at once.
        """
        asked = (space.hash, self.revision if until is None else until)
        if asked not in self._warm:
            self._warm = {asked: self._read_scores(space, asked[1])}
        return self._warm[asked]

    def _read_scores(self, space: Space, until: int) -> tuple[Scores, list[Overlap]]:
        overlaps = [Overlap(other, space) for other in self.spaces()]
        with self._reading() as connection:
            return read_scores(connection, space, overlaps, until), overlaps

    def _id_of(self, connection: sa.Connection, task: str) -> int:
        statement = sa.select(schema.tasks.c.id).where(schema.tasks.c.name == task)
        task_id = connection.execute(statement).scalar()
        if task_id is None:
            raise unknown_name("task in the bank", task, [t.name for t in read_tasks(connection)])
        return int(task_id)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._translated(), schema.writing(self.engine).begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the database's errors into a `BankError`."""
        try:
            yield
        except (sa.exc.SQLAlchemyError, json.JSONDecodeError) as error:
            raise BankError(
                f"the bank at {self.shown_url} cannot be used ({reason_of(error)}): try again, and "
                "if it is damaged, go back to a copy"
            ) from error

    def __repr__(self) -> str:
        return f"Bank({self.url!r}, {sum(self.counts().values())} records)"
