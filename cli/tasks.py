"""``bequest tasks``: the tasks that are known by name."""

from __future__ import annotations

import typer

from .output import Json, print_json, print_table


def tasks(as_json: Json = False) -> None:
    """List the tasks that are known by name."""
    from ..evaluators.datasets import list_tasks

    rows = [
        {"task": t.name, "kind": t.kind, "source": t.source, "offline": t.offline}
        for t in list_tasks()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        [{**row, "offline": "built in" if row["offline"] else "needs data"} for row in rows]
    )
    typer.echo("Any node task NAME is a link prediction task, too: NAME-links.")
