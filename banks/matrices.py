"""Transfer matrices in a bank: each context is a task, each source a configuration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..common.errors import BankError
from ..spaces import Space
from ..spaces.contexts import contexts_space
from .bank import Bank
from .record import BankTask, Record

KIND = "context"


def append_rows(
    bank: Bank,
    family: str,
    contexts: np.ndarray,
    dimensions: Sequence[str],
    sources: Sequence[int],
    rows: np.ndarray,
    *,
    seed: int = 0,
) -> int:
    """Add the returns of some sources on every context; a cell is stored once.

    Args:
        bank: The bank that gets the records.
        family: The family's name; its tasks are called ``FAMILY/0``, ``FAMILY/1``, ...
        contexts: ``[N, d]``.
        dimensions: What the dimensions are called.
        sources: The contexts that were trained ``[k]``.
        rows: Their returns ``[k, N]``; NaN is left out.
        seed: Of the training.

    Returns:
        How many records were new.

    Raises:
        BankError: The bank holds the family with other contexts.
    """
    _check_same(bank, family, contexts)
    space = contexts_space(family, contexts, dimensions)
    parts: list[tuple[BankTask, Space, list[Record]]] = []
    for j, context in enumerate(contexts):
        facts = {"family": family, "index": j, "context": context.tolist()}
        task = BankTask(f"{family}/{j}", "return", "maximize", KIND, facts)
        records = [
            Record(_config(dimensions, contexts[i]), float(row[j]), seed=seed, source=family)
            for i, row in zip(sources, rows, strict=True)
            if not np.isnan(row[j])
        ]
        parts.append((task, space, records))
    return bank.append_all(parts)


def matrix_of(bank: Bank, family: str) -> tuple[np.ndarray, np.ndarray]:
    """A family's contexts ``[N, d]`` and transfer matrix ``[N, N]``, NaN where not measured.

    A cell is the mean over its seeds; a failed training is no measurement.

    Raises:
        BankError: The bank holds no such family.
    """
    tasks = _tasks_of(bank, family)
    if not tasks:
        raise BankError(f"the bank holds no family {family!r} of contexts")
    contexts = np.array([t.facts["context"] for t in tasks])
    row_of = {tuple(context): i for i, context in enumerate(contexts.tolist())}
    total, count = np.zeros((2, len(tasks), len(tasks)))
    for j, task in enumerate(tasks):
        for space, record in bank.records(task.name):
            if record.value is None:
                continue
            names = [parameter.name for parameter in space.parameters]
            i = row_of[tuple(float(record.config[name]) for name in names)]
            total[i, j] += record.value
            count[i, j] += 1
    with np.errstate(invalid="ignore"):
        return contexts, total / count


def _tasks_of(bank: Bank, family: str) -> list[BankTask]:
    """A family's contexts, in their order."""
    tasks = [t for t in bank.tasks if t.kind == KIND and t.facts.get("family") == family]
    return sorted(tasks, key=lambda t: int(t.facts["index"]))


def _check_same(bank: Bank, family: str, contexts: np.ndarray) -> None:
    stored = [task.facts["context"] for task in _tasks_of(bank, family)]
    if stored and stored != contexts.tolist():
        raise BankError(
            f"the bank holds family {family!r} with {len(stored)} other contexts: give the new one "
            "another name"
        )


def _config(dimensions: Sequence[str], context: np.ndarray) -> dict[str, bool | int | float | str]:
    return dict(zip(dimensions, map(float, context), strict=True))
