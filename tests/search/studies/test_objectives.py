"""Several objectives: the whole front is searched for, stored, resumed and shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bequest.common.errors import StudyError, UnknownNameError
from bequest.evaluators.task import Outcome
from bequest.search.pareto import hypervolume
from bequest.search.samplers.scalarise import scalarised
from bequest.search.studies.record import open_record
from bequest.search.study import Study
from bequest.search.tracking.plots import static_plots
from bequest.spaces import Condition, Parameter, Space

MakeStudy = Callable[..., Study]

SPACE = Space(
    "sizes",
    [
        Parameter("method", CategoricalDistribution(["small", "large"])),
        Parameter("width", FloatDistribution(1, 100, log=True), Condition("method", ("large",))),
        Parameter("waste", FloatDistribution(0, 1)),
    ],
)


def _train(config: dict[str, Any]) -> Outcome:
    """Width buys accuracy and memory, waste buys nothing: the front has no waste."""
    width = float(config.get("width", 0.5))
    accuracy = width / (1 + width) - 0.3 * float(config["waste"])
    return Outcome(accuracy, {"memory": width * (1 + float(config["waste"])), "seconds": 1.0})


def _study(sampler: Any, seed: int = 0, **options: Any) -> Study:
    settings = {"name": "s", "storage": "memory", "tracking": False, "bank": False}
    given = {**settings, "minimize": ["memory"], **options}
    return Study.of(_train, SPACE, sampler=sampler, seed=seed, **given)


def _volume(study: Study) -> float:
    losses = np.array([[-(t.value or 0.0), np.log(t.metrics["memory"])] for t in study.trials])
    return hypervolume(losses, np.array([0.0, np.log(200.0)]))


def test_metrics_of_the_test_split_are_not_proposed() -> None:
    def train(config: dict[str, Any]) -> Outcome:
        return Outcome(0.5, {"test_error": 0.1, "memory": 1.0})

    options: dict[str, Any] = {"storage": "memory", "tracking": False, "bank": False}
    study = Study.of(train, SPACE, name="s", sampler="random", minimize=["tst_error"], **options)
    with pytest.raises(UnknownNameError) as refused:
        study.run(trials=1, progress=False)
    assert str(refused.value) == "unknown metric to minimize 'tst_error': known are memory"


def test_scalarised_by_hand() -> None:
    values = np.array([[0.9, -30.0], [0.8, -10.0], [0.7, -20.0]])
    # Ranks from the best: 0, .5, 1 and 1, 0, .5; of each weighted row the largest, and 5 % of all.
    expected = [-(0.5 + 0.05 * 0.5), -(0.25 + 0.05 * 0.25), -(0.5 + 0.05 * 0.75)]
    assert scalarised(values, np.array([0.5, 0.5])) == pytest.approx(expected)
    assert scalarised(values, np.array([1.0, 0.0])).argmax() == 0


@pytest.mark.parametrize("sampler", ["random", "tpe", "evolution", "gp", "transfer"])
def test_the_front_is_what_no_trial_beats(sampler: str) -> None:
    study = _study(sampler).run(trials=15, progress=False)
    points = [(t.value or 0.0, t.metrics["memory"]) for t in study.trials]
    front = {(t.value or 0.0, t.metrics["memory"]) for t in study.front}
    for value, memory in points:
        beaten = any(v >= value and m <= memory and (v, m) != (value, memory) for v, m in points)
        assert ((value, memory) in front) != beaten
    values = [t.value for t in study.front]
    assert values == sorted(values, reverse=True)
    assert study.best == study.front[0]


def test_of_equal_values_the_smaller_is_best() -> None:
    def train(config: dict[str, Any]) -> Outcome:
        return Outcome(0.5, {"memory": float(config["waste"])})

    options: dict[str, Any] = {"storage": "memory", "tracking": False, "sampler": "random"}
    study = Study.of(train, SPACE, name="s", minimize=["memory"], **options)
    study.run(trials=6, progress=False)
    assert study.best == min(study.trials, key=lambda t: t.config["waste"])
    assert study.front == [study.best]


def test_equal_trials_stand_once_on_the_front() -> None:
    def train(config: dict[str, Any]) -> Outcome:
        return Outcome(0.5, {"memory": 1.0})

    options: dict[str, Any] = {"storage": "memory", "tracking": False, "sampler": "random"}
    study = Study.of(train, SPACE, name="s", minimize=["memory"], **options)
    assert study.run(trials=4, progress=False).front == study.trials[:1]


def test_optunas_own_samplers_serve() -> None:
    study = _study(optuna.samplers.NSGAIISampler(seed=1, population_size=8)).run(
        trials=24, progress=False
    )
    assert len(study.trials) == 24
    assert len(study.front) >= 3


def test_ours_finds_a_better_front_than_chance() -> None:
    volumes = {
        sampler: [_volume(_study(sampler, s).run(trials=25, progress=False)) for s in range(3)]
        for sampler in ("gp", "evolution", "random")
    }
    assert np.mean(volumes["gp"]) > np.mean(volumes["random"])
    assert np.mean(volumes["gp"]) > np.mean(volumes["evolution"])


def test_worker_processes_have_all_objectives(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 's.db'}"
    study = _study("random", storage=store).run(trials=6, workers=2, progress=False)
    assert all(len(t.values) == 2 for t in study.optuna_study.trials)
    assert static_plots(study.optuna_study, study.record.objectives)


@pytest.mark.parametrize("sampler", ["gp", "tpe", "evolution"])
def test_a_resumed_study_goes_on_as_an_uninterrupted_one(sampler: str, tmp_path: Path) -> None:
    whole = _study(sampler).run(trials=12, progress=False)
    store = f"sqlite:///{tmp_path / 's.db'}"
    _study(sampler, storage=store).run(trials=8, progress=False)
    parts = _study(sampler, storage=store).run(trials=12, progress=False)
    assert [t.config for t in parts.trials] == [t.config for t in whole.trials]
    stored = open_record("s", store)
    assert stored.objectives == ["value", "memory"]
    assert stored.front_rows() == parts.record.front_rows()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="leave the pruner at 'none'"):
        _study("gp", pruner="median")
    with pytest.raises(StudyError, match="does not search for memory"):
        _study("rarts")
    with pytest.raises(StudyError, match="names a metric twice"):
        _study("gp", minimize=["memory", "memory"])
    with pytest.raises(StudyError, match="what a test says must decide nothing"):
        _study("gp", minimize=["test_loss"])
    with pytest.raises(UnknownNameError, match="memory"):
        _study("random", minimize=["memori"]).run(trials=1, progress=False)
    store = f"sqlite:///{tmp_path / 's.db'}"
    _study("random", storage=store)
    with pytest.raises(StudyError, match="was begun with minimize"):
        _study("random", storage=store, minimize=[])


def test_it_is_drawn(tmp_path: Path) -> None:
    study = _study("random", minimize=["memory", "seconds"]).run(trials=12, progress=False)
    figures = static_plots(study.optuna_study, study.record.objectives)
    assert list(figures)[:2] == ["front_memory", "front_seconds"]
    assert {"optimization_history", "param_importances", "slice"} <= figures.keys()
    page = study.report(tmp_path / "r.html").read_text()
    assert "Front: memory" in page
    assert "The Pareto front" in page


def test_mlflow_has_the_front(mlflow_home: Path) -> None:
    study = _study("random", tracking=None).run(trials=6, progress=False)
    client = MlflowClient(tracking_uri=f"sqlite:///{mlflow_home / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (parent,) = [r for r in runs if r.data.tags.get("bequest.role") == "study"]
    assert "minimize memory" in parent.data.tags["mlflow.note.content"]
    kept = mlflow.artifacts.load_dict(f"{parent.info.artifact_uri}/front.json")
    assert kept["trials"] == study.record.front_rows()
    place = f"{parent.info.artifact_uri}/plots"
    names = {Path(f.path).name for f in mlflow.artifacts.list_artifacts(artifact_uri=place)}
    assert "front_memory.png" in names


def test_a_cost_that_is_not_finite_fails_its_trial_alone() -> None:
    def train(config: dict[str, Any]) -> Outcome:
        cost = float("inf") if config["x"] < 0.3 else 1.0
        return Outcome(1.0, {"cost": cost})

    space = Space("line", [Parameter("x", FloatDistribution(0, 1))])
    study = Study.of(
        train,
        space,
        name="odd",
        minimize=["cost"],
        sampler="random",
        storage="memory",
        tracking=False,
    ).run(trials=12, progress=False)
    failed = [t for t in study.trials if t.state == "failed"]
    assert 0 < len(failed) < 12
    assert {t.error for t in failed} == {"EvaluationError: cost, which is to be small, is inf"}
    assert all(t.state == "complete" for t in study.trials if t not in failed)


def test_a_training_that_prunes_itself_has_failed() -> None:
    def train(config: dict[str, Any]) -> Outcome:
        if config["x"] < 0.3:
            raise optuna.TrialPruned
        return Outcome(1.0, {"cost": 1.0})

    space = Space("line", [Parameter("x", FloatDistribution(0, 1))])
    options: dict[str, Any] = {"sampler": "random", "storage": "memory", "tracking": False}
    study = Study.of(train, space, name="odd", minimize=["cost"], **options)
    study.run(trials=12, progress=False)
    errors = {t.error for t in study.trials if t.state == "failed"}
    assert errors == {"the training pruned itself, though the study has several objectives"}
