"""``bequest bank``: show, exchange and replay the records of earlier tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import BankError, UnknownNameError, unknown_name
from .output import Json, print_json, print_table

if TYPE_CHECKING:
    from ..banks.bank import Bank

app = typer.Typer(
    help="Earlier tasks: show, import, export, append, check.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

BankUrl = Annotated[
    str | None,
    typer.Option(
        "--bank",
        help="Bank of earlier tasks: a SQLAlchemy URL, or none. Default: bank.db in the Bequest "
        "home, with the bundled one in it.",
    ),
]
FORMATS = ("bequest", "nas-bench-graph", "graphgym", "optuna", "mlflow")


@app.command()
def show(bank: BankUrl = None, as_json: Json = False) -> None:
    """List the tasks and spaces of the bank."""
    opened = _open(bank)
    counts = opened.counts()
    rows: list[dict[str, Any]] = [
        {
            "task": t.name,
            "kind": t.kind,
            "metric": t.metric,
            "direction": t.direction,
            "records": counts[t.name],
        }
        for t in opened.tasks
    ]
    if as_json:
        spaces = [space.name for space in opened.spaces()]
        print_json({"bank": opened.shown_url, "tasks": rows, "spaces": spaces})
    elif not rows:
        typer.echo(
            f"the bank at {opened.shown_url} is empty: studies add to it, or `bequest bank import`"
        )
    else:
        print_table(rows)
        typer.echo(f"{sum(counts.values())} records in {opened.shown_url}")


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(help="A folder, a table, a study store, or an MLflow URI.")
    ],
    format_: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = "bequest",
    study: Annotated[
        str | None, typer.Option(help="The Optuna study, or MLflow experiment, to take.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="For MLflow: the metric that is the objective.")
    ] = "objective",
    direction: Annotated[str, typer.Option(help="For MLflow: maximize or minimize.")] = "maximize",
    bank: BankUrl = None,
    as_json: Json = False,
) -> None:
    """Add records from elsewhere; a repeated import adds nothing."""
    from ..banks import exchange, logs

    if format_ not in FORMATS:
        raise unknown_name("format", format_, FORMATS)
    opened = _open(bank)
    if format_ == "bequest":
        added = exchange.import_bank(opened, source)
    elif format_ == "nas-bench-graph":
        added = exchange.import_nas_bench_graph(opened, source)
    elif format_ == "graphgym":
        added = exchange.import_graphgym(opened, source)
    elif format_ == "optuna":
        added = logs.import_optuna(opened, source, study)
    else:
        if study is None:
            raise BankError("name the MLflow experiment to take: --study NAME")
        added = logs.import_mlflow(opened, source, study, metric, direction)
    _say(as_json, added, f"added {added} records to {opened.shown_url}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write the Parquet files.")],
    bank: BankUrl = None,
    as_json: Json = False,
) -> None:
    """Write the whole bank as a folder of Parquet files."""
    from ..banks.exchange import export_bank

    written = export_bank(_open(bank), folder)
    _say(as_json, written, f"wrote {written} records to {folder}")


@app.command()
def append(
    study: Annotated[str, typer.Argument(help="The study's name, as `bequest studies` lists it.")],
    storage: Annotated[str | None, typer.Option(help="Study store: a SQLAlchemy URL.")] = None,
    bank: BankUrl = None,
    as_json: Json = False,
) -> None:
    """Add a study's trials to a bank (studies do so themselves when they end)."""
    from ..search.studies.record import open_record
    from ..search.transfer.sources import append_record

    opened = _open(bank)
    added = append_record(opened, open_record(study, storage))
    _say(as_json, added, f"added {added} records to {opened.shown_url}")


@app.command()
def check(
    trials: Annotated[int, typer.Option(help="Trials of each replayed search.")] = 30,
    seeds: Annotated[int, typer.Option(help="Repetitions of the methods that draw.")] = 5,
    space: Annotated[str | None, typer.Option(help="Only this space, by its name.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Leave this task out altogether (it has another's data); repeatable."),
    ] = None,
    bank: BankUrl = None,
    as_json: Json = False,
) -> None:
    """Replay a search of each task with the others in the bank: the saving to expect."""
    from rich.progress import track

    from ..search.transfer.replay import (
        LEAST_TASKS,
        METHODS,
        leave_one_task_out,
        replayable,
        summarise,
    )

    opened = _open(bank)
    spaces = {s.name: s for s in opened.spaces()}
    if space is not None and space not in spaces:
        raise unknown_name("space in the bank", space, spaces)
    out = without or []
    names = {task.name for task in opened.tasks}
    for task in out:
        if task not in names:
            raise unknown_name("task in the bank", task, names)
    summaries = []
    for name in sorted(spaces) if space is None else [space]:
        scores = opened.scores(spaces[name])[0].without(out)
        scores = scores.only(replayable(scores))
        if len(scores.tasks) < LEAST_TASKS and space is None:
            continue
        replayed = leave_one_task_out(scores, budget=trials, seeds=seeds)
        total = len(scores.tasks) * (1 + 2 * seeds)
        runs = list(track(replayed, name, total=total, disable=as_json, transient=True))
        summaries.append({"space": name, **summarise(runs)})
    if as_json:
        print_json(summaries)
        return
    if not summaries:
        raise BankError(
            f"no space has {LEAST_TASKS} tasks with enough designs to leave one out: add tasks"
        )
    for summary in summaries:
        typer.echo(f"{summary['space']}: {len(summary['tasks'])} tasks, each left out in turn")
        print_table([{"task": task, **row} for task, row in summary["tasks"].items()])
        means = summary["mean"]
        shown = ", ".join(f"{method} {means[method]:.1f}" for method in METHODS)
        typer.echo(f"trials until one of the best twentieth (mean): {shown}")
        if means["transfer"] < means["gp"]:
            saving = 1 - means["transfer"] / means["gp"]
            typer.echo(
                f"expect to save {saving:.0%} of the trials that a search without the bank takes"
            )
        else:
            typer.echo("expect no saving: these tasks say little of each other (--sampler gp)")


def _open(bank: str | None) -> Bank:
    from ..search.transfer.sources import open_bank

    opened = open_bank(bank)
    if opened is None:
        raise UnknownNameError("there is no bank 'none' to work on: give a URL")
    return opened


def _say(as_json: bool, records: int, text: str) -> None:
    if as_json:
        print_json({"records": records})
    else:
        typer.echo(text)
