"""Records from logs of other tools: Optuna's studies, MLflow's experiments.

Numbers that are not finite are left out; a trial or run whose objective is not finite has failed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from ..common.databases import shown
from ..common.errors import BankError, ConfigurationError, reason_of, unknown_name
from ..common.mlflow_client import client_of
from ..spaces import Condition, Config, Parameter, Space
from .bank import Bank
from .record import BankTask, Record

K = TypeVar("K")


def import_optuna(bank: Bank, storage: str, study: str | None = None) -> int:
    """Add the complete and failed trials of an Optuna study with one objective.

    The space is that of its trials. A parameter that only some trials have is conditional on the
    categorical parameter whose choices tell which trials have it.

    Args:
        bank: The bank that gets the records.
        storage: The study store's URL.
        study: Its name; not needed where there is one only.

    Returns:
        How many records were new.

    Raises:
        BankError: There is no such study, it has several objectives, or no trial that can be used.
    """
    names = _study_names(storage)
    if study is None and len(names) == 1:
        study = names[0]
    if study is None:
        which = f": name one of {', '.join(names)}" if names else ""
        raise BankError(f"{shown(storage)} holds {len(names)} studies{which}")
    if study not in names:
        raise unknown_name("study", study, names)
    loaded = optuna.load_study(study_name=study, storage=storage)
    if len(loaded.directions) != 1:
        raise BankError(f"study {study!r} has {len(loaded.directions)} objectives, not one")
    complete = loaded.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    space = _space_of(study, [trial for trial in complete if trial.params])
    # A failed trial may have stopped before all was asked: it is kept where it is whole.
    failed = loaded.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    trials = complete + [trial for trial in failed if _fits(space, dict(trial.params))]
    records = [
        _record(
            dict(trial.params),
            trial.value if trial.state == TrialState.COMPLETE else None,
            trial.user_attrs,
            curve=_finite(trial.intermediate_values),
            source=f"Optuna study {study}",
        )
        for trial in trials
    ]
    task = BankTask(study, "value", loaded.direction.name.lower(), kind="Optuna study")
    return bank.append(task, space, records)


def _study_names(storage: str) -> list[str]:
    try:
        _see_file(storage, "study store")
        return list(optuna.get_all_study_names(storage))
    except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:
        reason = reason_of(error)
        raise BankError(f"cannot read the study store {shown(storage)!r}: {reason}") from error


def import_mlflow(
    bank: Bank, uri: str, experiment: str, metric: str, direction: str = "maximize"
) -> int:
    """Add the finished runs of an MLflow experiment: their parameters and one metric.

    Parameters are text in MLflow: those that are numbers in every run become numeric ones, between
    the smallest and the largest, the others become choices.

    Args:
        bank: The bank that gets the records.
        uri: MLflow's tracking URI.
        experiment: The experiment's name.
        metric: The metric that is the objective.
        direction: ``"maximize"`` or ``"minimize"``.

    Returns:
        How many records were new.

    Raises:
        BankError: MLflow cannot be read, or no finished run has the metric and parameters.
        UnknownNameError: There is no such experiment or direction.
    """
    task = BankTask(experiment, metric, direction, kind="MLflow experiment")
    runs = [run for run in _finished_runs(uri, experiment) if metric in run.data.metrics]
    runs = [run for run in runs if run.data.params]
    if not runs:
        raise BankError(f"no finished run of {experiment!r} has parameters and metric {metric!r}")
    configs = _typed([dict(run.data.params) for run in runs])
    space = _space_of_configs(experiment, configs)
    records = [
        _record(
            config,
            run.data.metrics[metric],
            {k: v for k, v in run.data.metrics.items() if k != metric},
            seconds=_seconds(run.info.start_time, run.info.end_time),
            source=f"MLflow run {run.info.run_id}",
        )
        for run, config in zip(runs, configs, strict=True)
    ]
    return bank.append(task, space, records)


def _finished_runs(uri: str, experiment: str) -> list[Any]:
    _see_file(uri, "MLflow database")
    try:
        client = client_of(uri)
        match = client.get_experiment_by_name(experiment)
        if match is not None:
            return _all_runs(client, match.experiment_id)
        names = [e.name for e in client.search_experiments()]
    except Exception as error:  # whatever MLflow, its store or the network throws
        remedy = "give the URI of a server that answers, or of a database"
        if Path(uri.removeprefix("file://")).is_dir():
            remedy = "set MLFLOW_ALLOW_FILE_STORE=true, or `mlflow migrate-filestore` it"
        reason = reason_of(error).split(". ")[0]
        raise BankError(f"cannot read MLflow at {shown(uri)!r} ({reason}): {remedy}") from error
    raise unknown_name("MLflow experiment", experiment, names)


def _all_runs(client: Any, experiment_id: str) -> list[Any]:
    runs: list[Any] = []
    token = None
    while True:
        rule = "attributes.status = 'FINISHED'"
        page = client.search_runs([experiment_id], rule, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _see_file(url: str, kind: str) -> None:
    """Check that a SQLite database exists: opening one that does not would create it."""
    if url.startswith("sqlite") and not Path(sa.make_url(url).database or "").is_file():
        raise BankError(f"there is no {kind} {shown(url)!r}: give its URL")


def _record(config: Config, value: float | None, metrics: Mapping[str, Any], **more: Any) -> Record:
    failed = value is not None and not _is_finite(value)
    error = f"its value was {value}" if failed else None
    return Record(config, None if failed else value, _finite(metrics), error=error, **more)


def _finite(values: Mapping[K, Any]) -> dict[K, float]:
    """Those of the values that are finite numbers."""
    return {k: float(v) for k, v in values.items() if isinstance(v, (int, float)) and _is_finite(v)}


def _seconds(start: int | None, end: int | None) -> float:
    """What MLflow's times make; NaN where one is missing."""
    return math.nan if start is None or end is None else (end - start) / 1000


def _is_finite(value: float) -> bool:
    # MLflow's databases keep infinity as the largest number; an int may be larger.
    return abs(value) < sys.float_info.max


def _fits(space: Space, config: Config) -> bool:
    try:
        space.validate(config)
    except ConfigurationError:
        return False
    return True


def _space_of(name: str, trials: list[FrozenTrial]) -> Space:
    if not trials:
        raise BankError(f"study {name!r} has no complete trial with parameters")
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        for key, distribution in trial.distributions.items():
            if distributions.setdefault(key, distribution) != distribution:
                raise BankError(f"study {name!r} searched {key!r} in more than one range")
    return _conditional(name, distributions, [dict(trial.params) for trial in trials])


def _conditional(
    name: str, distributions: dict[str, BaseDistribution], configs: list[Config]
) -> Space:
    """First the parameters that all trials have; each other one is conditional on one of these."""
    always = [k for k in distributions if all(k in config for config in configs)]
    parents = [k for k in always if isinstance(distributions[k], CategoricalDistribution)]
    parameters = [Parameter(k, distributions[k]) for k in always]
    parameters += [
        Parameter(key, distribution, _condition(key, parents, configs))
        for key, distribution in distributions.items()
        if key not in always
    ]
    for p in parameters:
        if p.condition is None and p.name not in always:
            raise BankError(f"{name!r}: nothing tells which trials have parameter {p.name!r}")
    return Space(name, parameters)


def _condition(key: str, parents: list[str], configs: list[Config]) -> Condition | None:
    for parent in parents:
        having = {config[parent] for config in configs if key in config}
        lacking = {config[parent] for config in configs if key not in config}
        if not having & lacking:
            return Condition(parent, tuple(sorted(having, key=str)))
    return None


def _typed(configs: list[dict[str, str]]) -> list[Config]:
    """Text as numbers, for those parameters that are finite numbers in every run."""
    names = dict.fromkeys(name for config in configs for name in config)
    numeric = {n for n in names if all(_is_number(c[n]) for c in configs if n in c)}
    return [{k: float(v) if k in numeric else v for k, v in config.items()} for config in configs]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _space_of_configs(name: str, configs: list[Config]) -> Space:
    distributions: dict[str, BaseDistribution] = {}
    for key in dict.fromkeys(k for config in configs for k in config):
        values = [config[key] for config in configs if key in config]
        if all(isinstance(v, float) for v in values):
            numbers = [float(v) for v in values]
            distributions[key] = FloatDistribution(min(numbers), max(numbers))
        else:
            distributions[key] = CategoricalDistribution(sorted({str(v) for v in values}))
    return _conditional(name, distributions, configs)
