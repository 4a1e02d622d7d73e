"""``bequest search``: one study from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import StudyError
from .bank import BankUrl
from .output import Json, Storage, flat, print_json, print_table, study_summary, trial_counts

if TYPE_CHECKING:
    from ..search.study import Study


# The options, as typer takes them.

Task = Annotated[
    str, typer.Argument(help="A name, as `bequest tasks` lists it, or a table of texts.")
]
Trials = Annotated[int, typer.Option(help="How many trials the study has in the end.")]
Timeout = Annotated[float | None, typer.Option(help="Begin no trial after this many s.")]
Workers = Annotated[int, typer.Option(help="Worker processes on this machine.")]
Sampler = Annotated[
    str,
    typer.Option(
        help="transfer, autotransfer, gp, tpe, evolution or random; rarts, darts-1 or darts-2; apq."
    ),
]
Space = Annotated[
    str | None,
    typer.Option(
        help="gnn or nas-bench-graph on graphs; nas-bench-201, darts or elastic on images; "
        "peft on texts, and on images with a backbone."
    ),
]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        help="The most a network may cost: with apq, say, latency=0.3ms; with peft memory=64MiB "
        "(activations), parameters=100k or flops=1000G; repeatable."
    ),
]
Minimize = Annotated[
    list[str] | None,
    typer.Option(
        help="A metric that is to be small, too: flops, parameters, with peft activation_bytes, "
        "training_flops or trainable_parameters; repeatable. The result is a front."
    ),
]
Pruner = Annotated[str, typer.Option(help="none, forecast, median or hyperband.")]
Seed = Annotated[int, typer.Option(help="Seed of sampler, splits and trainings.")]
Name = Annotated[str | None, typer.Option(help="The study's name.")]
DataRoot = Annotated[Path | None, typer.Option(help="Look here for data before downloading any.")]
Fit = Annotated[bool, typer.Option(help="Train and save the winner in the end.")]
TrainOnValidation = Annotated[
    bool, typer.Option(help="Train the winner on training and validation data.")
]
Epochs = Annotated[int | None, typer.Option(help="On images and texts: epochs of a training.")]
Images = Annotated[
    int | None, typer.Option(help="Train and validate on so many images (0: on all).")
]
Size = Annotated[
    int | None, typer.Option(help="Average images down to so many pixels (0: as they are).")
]
Text = Annotated[str | None, typer.Option(help="In a table: the column of the text (text).")]
Pair = Annotated[
    str | None, typer.Option(help="In a table: the column of the second text of a pair.")
]
Label = Annotated[str | None, typer.Option(help="In a table: the column of the class (label).")]
Validation = Annotated[
    Path | None, typer.Option(help="Beside a table: another one for validation.")
]
Test = Annotated[Path | None, typer.Option(help="Beside a table: another one to test.")]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="With peft: a folder or a name on the hub, of texts or of images; minilm on texts."
    ),
]
Examples = Annotated[
    int | None, typer.Option(help="With peft: train on so many (0: on all; 1000 by default).")
]
CostTable = Annotated[
    Path | None,
    typer.Option(help="With elastic: costs of layers, as `bequest cost-table` writes them."),
]
Mlflow = Annotated[bool, typer.Option(help="Log to MLflow.")]


def search(
    task: Task,
    trials: Trials = 30,
    timeout: Timeout = None,
    workers: Workers = 1,
    sampler: Sampler = "transfer",
    space: Space = None,
    limit: Limit = None,
    minimize: Minimize = None,
    bank: BankUrl = None,
    pruner: Pruner = "none",
    seed: Seed = 0,
    name: Name = None,
    data_root: DataRoot = None,
    storage: Storage = None,
    fit: Fit = True,
    train_on_validation: TrainOnValidation = False,
    epochs: Epochs = None,
    images: Images = None,
    size: Size = None,
    text: Text = None,
    pair: Pair = None,
    label: Label = None,
    validation: Validation = None,
    test: Test = None,
    backbone: Backbone = None,
    examples: Examples = None,
    cost_table: CostTable = None,
    mlflow: Mlflow = True,
    as_json: Json = False,
) -> None:
    """Search the best network for a task; run it again to continue where it stopped."""
    from ..search.study import Study

    _check_asked(trials, timeout, workers, fit=fit, train_on_validation=train_on_validation)
    from ..evaluators.datasets import open_task
    from ..evaluators.factory import EvaluatorOptions, make_evaluator, takes

    columns = {"text": text, "pair": pair, "label": label}
    opened = open_task(
        task, data_root, columns=columns, files={"validation": validation, "test": test}
    )
    own_limits = takes(opened, space, "limits")
    options = EvaluatorOptions(
        epochs=epochs,
        images=images,
        size=size,
        examples=examples,
        backbone=backbone,
        limits=(limit or ()) if own_limits else (),
        cost_table=cost_table,
    )
    evaluator = make_evaluator(opened, space, options)
    study = Study(
        evaluator,
        sampler=sampler if own_limits else _sampler(sampler, limit),
        bank=bank,
        pruner=pruner,
        minimize=minimize or (),
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


def _check_asked(
    trials: int, timeout: float | None, workers: int, *, fit: bool, train_on_validation: bool
) -> None:
    """Refuse what makes no sense before a study is begun."""
    from ..search.studies.identity import check_run

    check_run(trials, workers)
    if timeout is not None and not timeout > 0:
        raise StudyError(f"timeout is {timeout:g}: give the seconds that the search may take")
    if train_on_validation and not fit:
        raise StudyError("--train-on-validation is for the winner's model: leave --no-fit out")


def _sampler(name: str, limits: list[str] | None) -> Any:
    """The sampler's name, or its settings where limits belong to them.

    Raises:
        StudyError: The sampler keeps no limits.
    """
    if not limits:
        return name
    from ..evaluators.limits import parse_limit
    from ..search.samplers import JOINT

    parsed = tuple(parse_limit(text) for text in limits)
    if name != JOINT:
        raise StudyError(f"sampler {name!r} keeps no limits: leave --limit out or use {JOINT}")
    from ..search.two_stage.once_for_all.settings import Settings

    return Settings(limits=parsed)


def _first(config: dict[str, Any]) -> dict[str, Any]:
    return dict([*config.items()][:1])


def _fit(study: Study, train_on_validation: bool) -> tuple[dict[str, float], str]:
    fitted = study.fit_best(train_on_validation=train_on_validation)
    return fitted.metrics, str(study.record.folder / "model")


def _print_result(
    study: Study, metrics: dict[str, float] | None, model: str | None, *, as_json: bool
) -> None:
    summary = study_summary(study.record)
    summary |= {"test": metrics, "model": model, "mlflow": study.tracker.link()}
    summary["inherited"] = study.record.inherited
    if as_json:
        print_json(summary)
        return
    record, best = study.record, study.best
    typer.echo(f"{record.facts['task']}: {trial_counts(record)}")
    typer.echo(f"best validation {record.metric} {best.value:.4f} in trial {best.slot}, with")
    width = max(map(len, best.config), default=0)
    for key, value in best.config.items():
        shown_value = f"{value:.4g}" if isinstance(value, float) else value
        typer.echo(f"  {key:{width}} {shown_value}")
    if record.minimize:
        typer.echo("the front:")
        # The first choice says most, the others are in the report.
        print_table([flat({**r, "config": _first(r["config"])}) for r in record.front_rows()])
    if record.targets:
        print_table(record.target_rows())
        if len(record.targets) > 1:
            typer.echo("a model within tighter limits: Study(...).fit_best(within={...})")
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
