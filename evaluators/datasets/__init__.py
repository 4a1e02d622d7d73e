"""Tasks by name or from a file: one loader module for each kind of source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.errors import DataError, unknown_name
from ...common.registry import register, resolve
from .catalogue import ALIASES, ENTRIES, PREFIXES, Entry
from .kinds import DERIVED, KINDS, TaskKind

if TYPE_CHECKING:
    from ..task import Task

__all__ = ["Entry", "TaskKind", "list_tasks", "load_task", "open_task", "register_task"]


def list_tasks() -> list[Entry]:
    """The tasks known by name, built-in ones first."""
    return list(ENTRIES.values())


def register_task(entry: Entry, kind: TaskKind | None = None) -> None:
    """Let a task be loaded by name; ``del ENTRIES[name]`` takes it out again.

    Args:
        entry: Its name and what loads it.
        kind: What is predicted, where that is a kind of its own (see `TaskKind`). Its loader gives
            a task whose ``kind`` is the kind's name; an evaluator that serves the kind is
            registered by `bequest.evaluators.factory.register_evaluator`.

    Raises:
        BequestError: The name is taken, or the kind's.
    """
    if kind is not None:
        register(KINDS, "kind of task", kind.name, kind)
    register(ENTRIES, "task", entry.name, entry)


def open_task(
    name: str,
    data_root: str | Path | None = None,
    *,
    columns: Mapping[str, str | None] | None = None,
    files: Mapping[str, str | Path | None] | None = None,
) -> Task:
    """The task of a name, or of the table in a file.

    Args:
        name: As for `load_task`, or a file: what has a suffix is one (``reviews.csv``).
        data_root: As for `load_task`.
        columns: Of a table: ``text``, ``pair`` and ``label``; ``None`` for the usual one.
        files: Beside a table: those for ``validation`` and ``test``.

    Raises:
        UnknownNameError: There is no such task.
        DataError: The data cannot be had or read, or columns or files are given for a name.
    """
    given = {k: v for k, v in {**(columns or {}), **(files or {})}.items() if v is not None}
    if name in ENTRIES or not Path(name).suffix:
        if given:
            raise DataError(f"--{next(iter(given))} is for a table: leave it out, or give a file")
        return load_task(name, data_root)
    make = next(kind.from_file for kind in KINDS.values() if kind.from_file is not None)
    task: Task = resolve(make, __package__)(Path(name), name=Path(name).stem, **given)
    return task


def load_task(name: str, data_root: str | Path | None = None) -> Task:
    """A task by its name, as ``bequest tasks`` lists it.

    Args:
        name: For example ``"cora"``; ``"cora-links"`` is link prediction on the same graph;
            ``"tu:AIDS"`` is any of TU Dortmund's sets of graphs; ``"amazon-photo"`` is ``"photo"``.
        data_root: Searched for the data before anything is downloaded; by default the folder in
            ``BEQUEST_DATA``.

    Raises:
        UnknownNameError: There is no such task.
        DataError: The data is neither at hand nor can be downloaded.
    """
    entry = _entry(name)
    data = _load(entry, None if data_root is None else Path(data_root))
    kind = _kind(entry)
    task: Task = (
        data if kind.make is None else resolve(kind.make, __package__)(data, name=entry.name)
    )
    return task


def _entry(name: str) -> Entry:
    prefix, _, label = name.partition(":")
    if prefix in PREFIXES and label:
        return PREFIXES[prefix](label)
    base, suffix = _split(name)
    base = ALIASES.get(base, base)
    if base not in ENTRIES:
        raise unknown_name("task", name, [*ENTRIES, *ALIASES])
    entry = ENTRIES[base]
    if not suffix:
        return entry
    derived = DERIVED[suffix]
    if entry.kind != derived.base:
        raise DataError(f"{base!r} is a set of {_kind(entry).data}: {suffix} needs {derived.needs}")
    return replace(entry, name=base + suffix, kind=derived.kind)


def _split(name: str) -> tuple[str, str]:
    """A name and the suffix that says what is derived from its data; empty where none does."""
    suffix = next((s for s in DERIVED if name.endswith(s) and name not in ENTRIES), "")
    return name.removesuffix(suffix), suffix


def _kind(entry: Entry) -> TaskKind:
    return KINDS.get(entry.kind) or TaskKind(entry.kind)


def _load(entry: Entry, data_root: Path | None) -> Any:
    load = resolve(entry.loader, __package__)
    return load(*entry.arguments) if entry.offline else load(entry, data_root)
