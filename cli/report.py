"""``bequest report``: one study as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..common.home import file_name
from .output import Json, Storage, StudyName, print_json


def report(
    name: StudyName,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page about a study."""
    from ..search.studies.record import open_record
    from ..search.tracking.report import write_report

    path = write_report(open_record(name, storage), output or Path(f"{file_name(name)}.html"))
    if as_json:
        print_json({"report": str(path)})
    else:
        typer.echo(f"wrote {path}")
