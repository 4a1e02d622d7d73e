"""The ``bequest`` command: search, look, report. Heavy libraries load only where they are used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .cli_bank import BankUrl
from .cli_bank import app as bank_app
from .cli_output import Json, print_json, print_table
from .cli_selection import select_tasks
from .errors import BequestError, StudyError

if TYPE_CHECKING:
    from .evaluators.image_training import Budget
    from .search.record import StudyRecord
    from .search.study import Study

app = typer.Typer(
    name="bequest",
    help="Find a good model for a new task in few trials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(bank_app, name="bank")
app.command("select-tasks")(select_tasks)

Storage = Annotated[
    str | None,
    typer.Option(help="Study store: a SQLAlchemy URL. Default: studies.db in the Bequest home."),
]
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
    from .evaluators.datasets import list_tasks

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
def search(
    task: Annotated[str, typer.Argument(help="A task's name, as `bequest tasks` lists it.")],
    trials: Annotated[int, typer.Option(help="How many trials the study has in the end.")] = 30,
    timeout: Annotated[float | None, typer.Option(help="Begin no trial after this many s.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes on this machine.")] = 1,
    sampler: Annotated[
        str,
        typer.Option(
            help="transfer, autotransfer, gp, tpe, evolution or random; rarts, darts-1 or darts-2."
        ),
    ] = "transfer",
    space: Annotated[
        str | None,
        typer.Option(help="gnn or nas-bench-graph on graphs, nas-bench-201 or darts on images."),
    ] = None,
    bank: BankUrl = None,
    pruner: Annotated[str, typer.Option(help="none, median or hyperband.")] = "none",
    seed: Annotated[int, typer.Option(help="Seed of sampler, splits and trainings.")] = 0,
    name: Annotated[str | None, typer.Option(help="The study's name.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Look here for data before downloading any.")
    ] = None,
    storage: Storage = None,
    fit: Annotated[bool, typer.Option(help="Train and save the winner in the end.")] = True,
    train_on_validation: Annotated[
        bool, typer.Option(help="Train the winner on training and validation data.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="On images: epochs of a training.")] = None,
    images: Annotated[
        int | None, typer.Option(help="Train and validate on so many images (0: on all).")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Average images down to so many pixels (0: as they are).")
    ] = None,
    mlflow: Annotated[bool, typer.Option(help="Log to MLflow.")] = True,
    as_json: Json = False,
) -> None:
    """Search the best network for a task; run it again to continue where it stopped."""
    from .evaluators import load_task
    from .evaluators.choice import make_evaluator
    from .search.study import Study

    study = Study(
        make_evaluator(load_task(task, data_root), space, _budget(epochs, images, size)),
        sampler=sampler,
        bank=bank,
        pruner=pruner,
        name=name,
        storage=storage,
        seed=seed,
        tracking=None if mlflow else False,
    )
    before = len(study.trials)
    if before and not as_json:
        typer.echo(f"study {study.name}: continuing, {before} trials are there already")
    try:
        study.run(trials=trials, timeout=timeout, workers=workers, progress=not as_json)
        metrics, model = _fit(study, train_on_validation) if fit else (None, None)
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command continues study {study.name}", err=True)
        raise typer.Exit(130) from None
    _print_result(study, metrics, model, as_json=as_json)


def _budget(epochs: int | None, images: int | None, size: int | None) -> Budget | None:
    """What was asked for; 0 images or pixels stand for all there are."""
    from .evaluators.image_training import Budget

    asked = {"epochs": epochs, "images": images, "size": size}
    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return None
    limits: dict[str, Any] = {
        name: None if value == 0 and name != "epochs" else value for name, value in given.items()
    }
    return Budget(**limits)


def _fit(study: Study, train_on_validation: bool) -> tuple[dict[str, float], str]:
    fitted = study.fit_best(train_on_validation=train_on_validation)
    return fitted.metrics, str(study.record.folder / "model")


def _print_result(
    study: Study, metrics: dict[str, float] | None, model: str | None, *, as_json: bool
) -> None:
    summary = _summary(study.record)
    summary |= {"test": metrics, "model": model, "mlflow": study.tracker.link()}
    summary["inherited"] = study.record.inherited
    if as_json:
        print_json(summary)
        return
    record, best = study.record, study.best
    typer.echo(f"{record.facts['task']}: {_counts(record)}")
    typer.echo(f"best validation {record.metric} {best.value:.4f} in trial {best.slot}, with")
    for key, value in best.config.items():
        typer.echo(f"  {key:16} {value:.4g}" if isinstance(value, float) else f"  {key:16} {value}")
    if record.inherited:
        heard = [f"{row['task']} {row['weight']:+.2f}" for row in record.inherited[:5]]
        typer.echo(f"listened to earlier tasks (weight): {', '.join(heard)}")
    majority = record.facts["task_facts"].get("majority_share")
    if majority is not None:
        typer.echo(f"the majority class alone has {majority:.4f}")
    if metrics is not None:
        shown = {k: v for k, v in metrics.items() if k.startswith("test_")}
        typer.echo("test " + ", ".join(f"{k[5:]} {v:.4f}" for k, v in shown.items()))
        typer.echo(f"model  {model}")
    if summary["mlflow"] is not None:
        typer.echo(f"MLflow {summary['mlflow']}   (start it with: bequest ui)")


@app.command()
def studies(storage: Storage = None, as_json: Json = False) -> None:
    """List the studies in the store."""
    from .search.record import list_records

    rows = [_summary(record) for record in list_records(storage)]
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
    from .search.record import open_record

    record = open_record(name, storage)
    rows = [
        {"trial": t.slot, "state": t.state, record.metric: t.value, **t.config, "reason": t.error}
        for t in record.trials
    ]
    if as_json:
        print_json({**_summary(record), "rows": rows})
        return
    sign = -1 if record.direction == "maximize" else 1
    rows.sort(key=lambda row: (row[record.metric] is None, sign * (row[record.metric] or 0.0)))
    typer.echo(f"{name}: {record.direction} {record.metric}; {_counts(record)}")
    print_table(rows)


@app.command()
def report(
    name: Name,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page about a study."""
    from .search.record import open_record
    from .search.report import write_report

    path = write_report(open_record(name, storage), output or Path(f"{name}.html"))
    if as_json:
        print_json({"report": str(path)})
    else:
        typer.echo(f"wrote {path}")


@app.command()
def sync(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """Log to MLflow what it lacks of a study, for example after it was down."""
    from .search.record import open_record
    from .search.tracking import make_tracker

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

    from .search.tracking import tracking_uri

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


def _summary(record: StudyRecord) -> dict[str, Any]:
    from .search.record import best_of

    trials = record.trials
    best = best_of(trials, record.direction)
    states = dict.fromkeys(t.state for t in trials)
    return {
        "study": record.name,
        "task": record.facts["task"],
        "sampler": record.facts["sampler"],
        "seed": record.facts["seed"],
        "metric": record.metric,
        "direction": record.direction,
        "trials": {state: sum(t.state == state for t in trials) for state in states},
        "best_value": None if best is None else best.value,
        "best_trial": None if best is None else best.slot,
        "best_config": None if best is None else best.config,
    }


def _counts(record: StudyRecord) -> str:
    counts = _summary(record)["trials"]
    return ", ".join(f"{count} {state}" for state, count in counts.items()) + " trials"


def main() -> None:
    """Run the command; an error of ours is one sentence on standard error and exit code 2."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except BequestError as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
