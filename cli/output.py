"""What the subcommands share: common options, tables and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..search.studies.record import StudyRecord
    from ..search.studies.trial import Trial

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
StudyName = Annotated[
    str, typer.Argument(metavar="NAME", help="The study's name, as `bequest studies` lists it.")
]
Storage = Annotated[
    str | None,
    typer.Option(help="Study store: a SQLAlchemy URL. Default: studies.db in the Bequest home."),
]


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=2))


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table; columns that are empty in all rows are left out."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    columns = dict.fromkeys(name for row in rows for name in row)
    filled = [c for c in columns if any(row.get(c) is not None for row in rows)]
    # As texts: a user's own words may look like rich's markup.
    table = Table(*(Column(Text(column)) for column in filled), box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in filled))
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
    """A row without nested values, for a table.

    Args:
        row: Plain values; those in dictionaries become columns of their own, with the dictionary's
            key before their name if another column is called the same.
    """
    columns: dict[str, Any] = {k: v for k, v in row.items() if not isinstance(v, dict)}
    flat_row: dict[str, Any] = {}
    for key, value in row.items():
        inner = value if isinstance(value, dict) else {key: value}
        for name, item in inner.items():
            taken = inner is value and (name in columns or name in flat_row)
            flat_row[f"{key}.{name}" if taken else name] = item
    return flat_row


def trial_counts(record: StudyRecord) -> str:
    """How many trials are in which state, in words."""
    counts = study_summary(record)["trials"]
    return ", ".join(f"{count} {state}" for state, count in counts.items()) + " trials"
