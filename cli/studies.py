"""``bequest studies``: what is in the study store."""

from __future__ import annotations

import typer

from .output import Json, Storage, print_json, print_table, study_summary


def studies(storage: Storage = None, as_json: Json = False) -> None:
    """List the studies in the store."""
    from ..search.studies.record import list_records

    rows = [study_summary(record) for record in list_records(storage)]
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("no study yet: begin with `bequest search digits-knn`")
    else:
        names = ("study", "task", "metric", "best_value", "sampler")
        print_table(
            [{n: row[n] for n in names} | {"trials": sum(row["trials"].values())} for row in rows]
        )
