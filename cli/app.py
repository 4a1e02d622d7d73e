"""The ``bequest`` command. Heavy libraries load only in the subcommands that use them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..common.errors import BequestError, reason_of
from ..common.version import __version__
from .bank import app as bank_app
from .cost_table import cost_table
from .report import report
from .search import search
from .select_tasks import select_tasks
from .show import show
from .studies import studies
from .sync import sync
from .tasks import tasks
from .ui import ui

app = typer.Typer(
    name="bequest",
    help="Find a good model for a new task in few trials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(bank_app, name="bank")
app.command("select-tasks")(select_tasks)
for command in (search, cost_table, tasks, studies, show, report, sync, ui):
    app.command()(command)


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
    pass  # --debug is read in main(), which accepts it anywhere on the command line


def main() -> None:
    """Run the command; an error is one sentence on standard error and exit code 2.

    Only errors in the program itself show a traceback.
    """
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except Exception as error:
        if debug or not (isinstance(error, BequestError) or _is_external(error)):
            raise
        message = str(error) if isinstance(error, BequestError) else _message(error)
        typer.echo(f"error: {message}", err=True)
        sys.exit(2)


def _is_external(error: Exception) -> bool:
    """Whether a file, a database or a server failed, and no `BequestError` explains it."""
    kinds = {
        "optuna.exceptions": "OptunaError",
        "sqlalchemy.exc": "SQLAlchemyError",
        "mlflow.exceptions": "MlflowException",
    }
    # A library that was not loaded has raised nothing.
    loaded = [getattr(sys.modules[m], kind) for m, kind in kinds.items() if m in sys.modules]
    return isinstance(error, (OSError, *loaded))


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror} (--debug shows where)"
    # The error that a library wraps says more than the wrapper.
    return f"{reason_of(error.__cause__ or error)} (--debug shows where)"
