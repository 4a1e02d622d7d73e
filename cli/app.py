"""The ``bequest`` command: search, look, report. Heavy libraries load only where they are used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..common.errors import BequestError, StudyError, reason_of
from ..common.home import file_name
from .bank import app as bank_app
from .cost_table import cost_table
from .output import (
    Json,
    Storage,
    flat,
    print_json,
    print_table,
    study_summary,
    trial_counts,
    trial_row,
)
from .search import search
from .select_tasks import select_tasks

app = typer.Typer(
    name="bequest",
    help="Find a good model for a new task in few trials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(bank_app, name="bank")
app.command()(search)
app.command()(cost_table)
app.command("select-tasks")(select_tasks)

Name = Annotated[str, typer.Argument(help="The study's name, as `bequest studies` lists it.")]


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass  # --debug is read in main(), where it is taken at any place of the command line


@app.command()
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
    shown = [{**row, "offline": "built in" if row["offline"] else "needs data"} for row in rows]
    print_table(shown)
    typer.echo("Any node task NAME is a link prediction task, too: NAME-links.")


@app.command()
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


@app.command()
def show(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """Show one study: its trials, best first."""
    from ..search.studies.record import open_record

    record = open_record(name, storage)
    trials = record.trials
    if as_json:
        print_json({**study_summary(record), "rows": [trial_row(record, t) for t in trials]})
        return
    sign = -1 if record.direction == "maximize" else 1
    trials.sort(key=lambda t: (t.value is None, sign * (t.value or 0.0)))
    also = "".join(f", minimize {other}" for other in record.minimize)
    typer.echo(f"{name}: {record.direction} {record.metric}{also}; {trial_counts(record)}")
    print_table([flat(trial_row(record, t)) for t in trials])


@app.command()
def report(
    name: Name,
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


@app.command()
def sync(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """Log to MLflow what it lacks of a study, for example after it was down."""
    from ..search.studies.record import open_record
    from ..search.tracking.tracker import make_tracker

    tracker = make_tracker(open_record(name, storage), None)
    written = tracker.sync()
    if as_json:
        print_json({"written": written, "mlflow": tracker.link()})
    else:
        typer.echo(f"wrote {written} trials; {tracker.link()}")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="The port to serve on.")] = 5000,
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
) -> None:
    """Open MLflow's pages on the Bequest home (or on MLFLOW_TRACKING_URI)."""
    import subprocess

    from ..search.tracking.tracker import tracking_uri

    uri = tracking_uri()
    if uri.startswith("http"):
        typer.echo(f"MLflow is served at {uri}")
        return
    typer.echo(f"serving {uri} at http://{host}:{port} (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    code = subprocess.call([*command, "--host", host, "--port", str(port)])
    if code not in (0, 130, -2):
        raise StudyError(
            f"MLflow's server ended with code {code}: is port {port} taken? try --port"
        )


def main() -> None:
    """Run the command; an error is one sentence on standard error and exit code 2.

    What is nobody's but the program's own fault keeps its traceback.
    """
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except Exception as error:
        if debug or not (isinstance(error, BequestError) or _is_circumstance(error)):
            raise
        said = str(error) if isinstance(error, BequestError) else _told(error)
        typer.echo(f"error: {said}", err=True)
        sys.exit(2)


def _is_circumstance(error: Exception) -> bool:
    """Whether a file, a database or a server may be at fault, where nobody has said it better."""
    kinds = {
        "optuna.exceptions": "OptunaError",
        "sqlalchemy.exc": "SQLAlchemyError",
        "mlflow.exceptions": "MlflowException",
    }
    # A library that was not loaded has raised nothing.
    loaded = [getattr(sys.modules[m], kind) for m, kind in kinds.items() if m in sys.modules]
    return isinstance(error, (OSError, *loaded))


def _told(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror} (--debug shows where)"
    # A library's wrapper says less than what it wraps.
    return f"{reason_of(error.__cause__ or error)} (--debug shows where)"
