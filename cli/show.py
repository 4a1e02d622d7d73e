"""``bequest show``: one study's trials."""

from __future__ import annotations

import typer

from .output import (
    Json,
    Storage,
    StudyName,
    flat,
    print_json,
    print_table,
    study_summary,
    trial_counts,
    trial_row,
)


def show(name: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Show one study: its trials, best first."""
    from ..search.studies.record import open_record

    record = open_record(name, storage)
    trials = record.trials
    if as_json:
        print_json({**study_summary(record), "rows": [trial_row(record, t) for t in trials]})
        return
    sign = -1 if record.direction == "maximize" else 1
    trials.sort(key=lambda t: (t.value is None, sign * (t.value or 0.0)))
    minimized = "".join(f", minimize {metric}" for metric in record.minimize)
    typer.echo(f"{name}: {record.direction} {record.metric}{minimized}; {trial_counts(record)}")
    print_table([flat(trial_row(record, t)) for t in trials])
