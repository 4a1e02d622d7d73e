"""How the ``bequest`` command prints."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    columns = dict.fromkeys(name for row in rows for name in row)
    shown = [c for c in columns if any(row.get(c) is not None for row in rows)]
    table = Table(*shown, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in shown))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # a pipe takes whole lines
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
