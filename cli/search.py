"""``bequest search``: one study from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..common.errors import StudyError
from .bank import BankUrl
from .options import grouped
from .output import Json, Storage, flat, print_json, print_table, study_summary, trial_counts

DATA, TRAINING, RUN = "Data", "Trainings", "The run"
"""Titles of option groups in the help."""

Task = Annotated[
    str, typer.Argument(help="A name, as `bequest tasks` lists it, or a table of texts.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Look here for data before downloading any.", rich_help_panel=DATA),
]
Size = Annotated[
    int | None,
    typer.Option(
        help="Average images down to so many pixels (0: as they are).", rich_help_panel=TRAINING
    ),
]


@dataclass(frozen=True)
class SearchOptions:
    """What is searched, and how."""

    sampler: Annotated[
        str,
        typer.Option(
            help="transfer, autotransfer, gp, tpe, evolution or random; rarts, darts-1 or darts-2; "
            "apq."
        ),
    ] = "transfer"
    space: Annotated[
        str | None,
        typer.Option(
            help="gnn or nas-bench-graph on graphs; nas-bench-201, darts or elastic on images; "
            "peft on texts, and on images with a backbone."
        ),
    ] = None
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="The most a network may cost: with apq, say, latency=0.3ms; with peft "
            "memory=64MiB (activations), parameters=100k or flops=1000G; repeatable."
        ),
    ] = None
    minimize: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric that is to be small, too: flops, parameters, with peft "
            "activation_bytes, training_flops or trainable_parameters; repeatable. The result is "
            "a front."
        ),
    ] = None
    bank: BankUrl = None
    pruner: Annotated[str, typer.Option(help="none, forecast, median or hyperband.")] = "none"
    seed: Annotated[int, typer.Option(help="Seed of sampler, splits and trainings.")] = 0


@dataclass(frozen=True)
class RunOptions:
    """How long the study runs, where it is kept, and what becomes of the winner."""

    trials: Annotated[
        int, typer.Option(help="How many trials the study has in the end.", rich_help_panel=RUN)
    ] = 30
    timeout: Annotated[
        float | None, typer.Option(help="Begin no trial after this many s.", rich_help_panel=RUN)
    ] = None
    workers: Annotated[
        int, typer.Option(help="Worker processes on this machine.", rich_help_panel=RUN)
    ] = 1
    name: Annotated[str | None, typer.Option(help="The study's name.", rich_help_panel=RUN)] = None
    storage: Storage = None
    fit: Annotated[
        bool, typer.Option(help="Train and save the winner in the end.", rich_help_panel=RUN)
    ] = True
    train_on_validation: Annotated[
        bool,
        typer.Option(help="Train the winner on training and validation data.", rich_help_panel=RUN),
    ] = False
    mlflow: Annotated[bool, typer.Option(help="Log to MLflow.", rich_help_panel=RUN)] = True
    as_json: Json = False

    def check(self) -> None:
        """Refuse a run that cannot do anything, before a study is begun."""
        from ..search.studies.identity import check_run

        check_run(self.trials, self.workers)
        if self.timeout is not None and not self.timeout > 0:
            raise StudyError(
                f"timeout is {self.timeout:g}: give the seconds that the search may take"
            )
        if self.train_on_validation and not self.fit:
            raise StudyError("--train-on-validation is for the winner's model: leave --no-fit out")


@dataclass(frozen=True)
class DataOptions:
    """Where the data is, and the columns of a table."""

    data_root: DataRoot = None
    text: Annotated[
        str | None,
        typer.Option(help="In a table: the column of the text (text).", rich_help_panel=DATA),
    ] = None
    pair: Annotated[
        str | None,
        typer.Option(
            help="In a table: the column of the second text of a pair.", rich_help_panel=DATA
        ),
    ] = None
    label: Annotated[
        str | None,
        typer.Option(help="In a table: the column of the class (label).", rich_help_panel=DATA),
    ] = None
    validation: Annotated[
        Path | None,
        typer.Option(help="Beside a table: another one for validation.", rich_help_panel=DATA),
    ] = None
    test: Annotated[
        Path | None, typer.Option(help="Beside a table: another one to test.", rich_help_panel=DATA)
    ] = None

    def open(self, task: str) -> Any:
        """The task of a name, or of the table in a file."""
        from ..evaluators.datasets import open_task

        columns = {"text": self.text, "pair": self.pair, "label": self.label}
        files = {"validation": self.validation, "test": self.test}
        return open_task(task, self.data_root, columns=columns, files=files)


@dataclass(frozen=True)
class TrainingOptions:
    """How configurations are trained; the evaluator refuses what it does not take."""

    epochs: Annotated[
        int | None,
        typer.Option(help="On images and texts: epochs of a training.", rich_help_panel=TRAINING),
    ] = None
    images: Annotated[
        int | None,
        typer.Option(
            help="Train and validate on so many images (0: on all).", rich_help_panel=TRAINING
        ),
    ] = None
    size: Size = None
    backbone: Annotated[
        str | None,
        typer.Option(
            help="With peft: a folder or a name on the hub, of texts or of images; minilm on "
            "texts.",
            rich_help_panel=TRAINING,
        ),
    ] = None
    examples: Annotated[
        int | None,
        typer.Option(
            help="With peft: train on so many (0: on all; 1000 by default).",
            rich_help_panel=TRAINING,
        ),
    ] = None
    cost_table: Annotated[
        Path | None,
        typer.Option(
            help="With elastic: costs of layers, as `bequest cost-table` writes them.",
            rich_help_panel=TRAINING,
        ),
    ] = None


@grouped
def search(
    task: Task, how: SearchOptions, run: RunOptions, data: DataOptions, training: TrainingOptions
) -> None:
    """Search the best network for a task; run it again to continue where it stopped."""
    from ..search.study import Study

    run.check()
    evaluator, sampler = _evaluator_and_sampler(data.open(task), how, training)
    study = Study(
        evaluator,
        sampler=sampler,
        bank=how.bank,
        pruner=how.pruner,
        minimize=how.minimize or (),
        name=run.name,
        storage=run.storage,
        seed=how.seed,
        tracking=None if run.mlflow else False,
    )
    before = len(study.trials)
    if before and not run.as_json:
        typer.echo(f"study {study.name}: continuing, {before} trials are there already")
    metrics = model = None
    try:
        study.run(run.trials, run.timeout, run.workers, progress=not run.as_json)
        if run.fit:
            metrics = study.fit_best(train_on_validation=run.train_on_validation).metrics
            model = str(study.record.folder / "model")
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command continues study {study.name}", err=True)
        raise typer.Exit(130) from None
    _print_result(study, metrics, model, as_json=run.as_json)


def _evaluator_and_sampler(
    task: Any, how: SearchOptions, training: TrainingOptions
) -> tuple[Any, Any]:
    """What measures configurations, and what proposes them; the limits go to the one takes them.

    Raises:
        StudyError: Neither the evaluator nor the sampler takes limits.
    """
    from dataclasses import asdict

    from ..evaluators.factory import EvaluatorOptions, make_evaluator, takes
    from ..evaluators.limits import parse_limit
    from ..search.two_stage import SEARCHES

    limits = [parse_limit(text) for text in how.limit or ()]
    if takes(task, how.space, "limits"):
        options = EvaluatorOptions(**asdict(training), limits=limits)
        return make_evaluator(task, how.space, options), how.sampler
    evaluator = make_evaluator(task, how.space, EvaluatorOptions(**asdict(training)))
    if not limits:
        return evaluator, how.sampler
    entry = SEARCHES.get(how.sampler)
    if entry is None or not entry.takes_limits:
        limited = " or ".join(name for name, e in SEARCHES.items() if e.takes_limits)
        raise StudyError(
            f"sampler {how.sampler!r} keeps no limits: leave --limit out or use {limited}"
        )
    return evaluator, entry.load().settings(how.sampler, evaluator.space, limits)


def _print_result(
    study: Any, metrics: dict[str, float] | None, model: str | None, *, as_json: bool
) -> None:
    summary = study_summary(study.record)
    summary |= {"test": metrics, "model": model, "mlflow": study.tracker.link()}
    summary["inherited"] = study.record.source_weights
    if as_json:
        print_json(summary)
        return
    record, best = study.record, study.best
    typer.echo(f"{record.identity['task']}: {trial_counts(record)}")
    typer.echo(f"best validation {record.metric} {best.value:.4f} in trial {best.slot}, with")
    width = max(map(len, best.config), default=0)
    for key, value in best.config.items():
        text = f"{value:.4g}" if isinstance(value, float) else value
        typer.echo(f"  {key:{width}} {text}")
    if record.minimize:
        typer.echo("the front:")
        # The first choice says most, the others are in the report.
        rows = [{**row, "config": dict([*row["config"].items()][:1])} for row in summary["front"]]
        print_table([flat(row) for row in rows])
    if "targets" in summary:
        print_table(summary["targets"])
        if len(summary["targets"]) > 1:
            typer.echo("a model within tighter limits: Study(...).fit_best(within={...})")
    if record.source_weights:
        weights = [f"{row['task']} {row['weight']:+.2f}" for row in record.source_weights[:5]]
        typer.echo(f"source tasks (weight): {', '.join(weights)}")
    majority = record.identity["task_facts"].get("majority_share")
    if majority is not None:
        typer.echo(f"the majority class alone has {majority:.4f}")
    if metrics is not None:
        tested = {k: v for k, v in metrics.items() if k.startswith("test_")}
        typer.echo("test " + ", ".join(f"{k[5:]} {v:.4f}" for k, v in tested.items()))
        typer.echo(f"model  {model}")
    if summary["mlflow"] is not None:
        typer.echo(f"MLflow {summary['mlflow']}   (start it with: bequest ui)")
