"""How the ``bequest`` command prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..search.studies.record import StudyRecord
    from ..search.studies.trial import Trial

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Storage = Annotated[
    str | None,
    typer.Option(help="Study store: a SQLAlchemy URL. Default: studies.db in the Bequest home."),
]


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    columns = dict.fromkeys(name for row in rows for name in row)
    shown = [c for c in columns if any(row.get(c) is not None for row in rows)]
    # As texts: what a user wrote may hold what rich would take for its markup.
    table = Table(*(Column(Text(column)) for column in shown), box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in shown))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # a pipe takes whole lines
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def study_summary(record: StudyRecord) -> dict[str, Any]:
    """A study in plain values, for machines."""
    from ..search.studies.record import best_of
    from ..search.two_stage import target_rows

    trials, targets = record.trials, target_rows(record)
    best = best_of(trials, record.direction, record.minimize)
    states = dict.fromkeys(t.state for t in trials)
    return {
        "study": record.name,
        "task": record.identity["task"],
        "sampler": record.identity["sampler"],
        "seed": record.identity["seed"],
        "metric": record.metric,
        "direction": record.direction,
        "trials": {state: sum(t.state == state for t in trials) for state in states},
        "best_value": None if best is None else best.value,
        "best_trial": None if best is None else best.slot,
        "best_config": None if best is None else best.config,
        **({"targets": targets} if targets else {}),
        **({"front": record.front_rows()} if record.minimize else {}),
    }


def trial_row(record: StudyRecord, trial: Trial) -> dict[str, Any]:
    """A trial in plain values, for machines."""
    measured = {name: trial.metrics.get(name) for name in record.minimize}
    return {
        "trial": trial.slot,
        "state": trial.state,
        "values": {record.metric: trial.value, **measured},
        "config": trial.config,
        "reason": trial.error,
    }


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table whose columns are told apart where a metric or parameter has their name.

    Args:
        row: Plain values; those in dictionaries become columns of their own.
    """
    columns: dict[str, Any] = {k: v for k, v in row.items() if not isinstance(v, dict)}
    parted: dict[str, Any] = {}
    for key, value in row.items():
        inner = value if isinstance(value, dict) else {key: value}
        for name, item in inner.items():
            taken = inner is value and (name in columns or name in parted)
            parted[f"{key}.{name}" if taken else name] = item
    return parted


def trial_counts(record: StudyRecord) -> str:
    """How many trials are in which state, in words."""
    counts = study_summary(record)["trials"]
    return ", ".join(f"{count} {state}" for state, count in counts.items()) + " trials"
