"""``bequest sync``: complete a study's runs in MLflow."""

from __future__ import annotations

import typer

from .output import Json, Storage, StudyName, print_json


def sync(name: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Log to MLflow what it lacks of a study, for example after it was down."""
    from ..search.studies.record import open_record
    from ..search.tracking.tracker import make_tracker

    tracker = make_tracker(open_record(name, storage), None)
    written = tracker.sync()
    if as_json:
        print_json({"written": written, "mlflow": tracker.link()})
    else:
        typer.echo(f"wrote {written} trials; {tracker.link()}")
