"""A relaxed search as the first phase of a study: slots, resuming, MLflow, the report."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from bequest import Study
from bequest.common.errors import StudyError
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.search.study import Study as StudyClass
from bequest.search.two_stage.one_shot.figures import edges_of
from bequest.search.two_stage.one_shot.settings import METHODS, OneShotSettings, Regularisation
from bequest.spaces.cell import darts_space, nas_bench_201_space

SHORT = OneShotSettings(epochs=3, regularisation=Regularisation(warmup=1), eigenvalues=False)


@pytest.fixture
def make_relaxed_study(evaluator: ImageEvaluator) -> Callable[..., StudyClass]:
    def make(**options: Any) -> StudyClass:
        settings = {"sampler": SHORT, "storage": "memory", "tracking": False, "name": "toy"}
        return Study(evaluator, **{**settings, **options})

    return make


def found(study: StudyClass) -> dict[str, Any]:
    """The search's record without the clock."""
    record = json.loads(json.dumps(study.record.findings("relaxed")))
    for epoch in record["epochs"]:
        epoch["seconds"] = 0
    return record  # type: ignore[no-any-return]


def test_derived_architectures_are_the_trials_beside_random_ones(
    make_relaxed_study: Callable[..., StudyClass],
) -> None:
    study = make_relaxed_study().run(trials=5, progress=False)
    candidates = [row["config"] for row in study.record.findings("relaxed")["candidates"]]
    configs = [trial.config for trial in study.trials]
    assert [t.state for t in study.trials] == ["complete"] * 5
    assert configs[:3] == candidates[:3]
    assert configs[4] == candidates[3]
    assert study.record.findings("relaxed")["candidates"][0]["origin"] == "largest alpha"
    assert study.sampler_name == "rarts"
    assert (
        len(study.record.findings("relaxed")["epochs"])
        == study.record.findings("relaxed")["planned"]
        == 3
    )
    # What a worker process gets proposes the same, without supernet or store.
    sampler = cloudpickle.loads(cloudpickle.dumps(study.optuna_study.sampler))
    assert sampler.candidates == candidates


KILLED = """
import os, signal, sys
from bequest import Study
from bequest.evaluators.datasets import load_task
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.evaluators.image.training import Budget
from bequest.search.two_stage.one_shot import sampler
from bequest.search.two_stage.one_shot.settings import Regularisation, OneShotSettings

budget = Budget(epochs=2, images=200, batch_size=32)
evaluator = ImageEvaluator(load_task("digits"), budget=budget, channels=4)
settings = OneShotSettings(epochs=3, regularisation=Regularisation(warmup=1), eigenvalues=False)
study = Study(evaluator, sampler=settings, storage=sys.argv[1], tracking=False, name="toy")
calls = 0
def killing(found):
    global calls
    calls += 1
    if calls == 2:
        os.kill(os.getpid(), signal.SIGKILL)
study.optuna_study.sampler._store.write = killing
study.run(trials=4, progress=False)
"""


def test_a_study_killed_in_its_search_goes_on_as_if_nothing_had_happened(
    make_relaxed_study: Callable[..., StudyClass], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    done = subprocess.run([sys.executable, "-c", KILLED, url], timeout=100)
    assert done.returncode == -signal.SIGKILL
    resumed = make_relaxed_study(storage=url)
    assert resumed.trials == []
    assert (resumed.record.folder / "relaxed.pt").exists()
    resumed.run(trials=4, progress=False)
    whole = make_relaxed_study(name="whole").run(trials=4, progress=False)
    assert found(resumed) == found(whole)
    assert [(t.config, t.value) for t in resumed.trials] == [
        (t.config, t.value) for t in whole.trials
    ]
    # And when all is over, the search is only read.
    again = make_relaxed_study(storage=url).run(trials=5, progress=False)
    assert [t.config for t in again.trials[:4]] == [t.config for t in whole.trials]


def test_a_timeout_ends_the_search_and_the_next_run_goes_on(
    make_relaxed_study: Callable[..., StudyClass], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    for epochs in (1, 2):
        study = make_relaxed_study(storage=url)
        with pytest.raises(StudyError, match="run again to go on"):
            study.run(trials=2, timeout=0, progress=False)
        assert len(study.record.findings("relaxed")["epochs"]) == epochs
        assert study.trials == []
    resumed = make_relaxed_study(storage=url).run(trials=2, progress=False)
    assert found(resumed) == found(make_relaxed_study(name="whole").run(trials=1, progress=False))


def test_mlflow_and_the_report_hold_the_search(
    make_relaxed_study: Callable[..., StudyClass], mlflow_home: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{mlflow_home / 'mlflow.db'}"
    study = make_relaxed_study(storage=f"sqlite:///{tmp_path / 's.db'}", tracking=uri)
    study.run(trials=2, progress=False)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    run_id = (study.tracker.link() or "").rsplit("/", 1)[1]
    alphas = study.record.findings("relaxed")["epochs"]
    curve = client.get_metric_history(run_id, "alpha/e12/nor_conv_3x3")
    assert [(p.step, p.value) for p in curve] == [
        (e["epoch"], pytest.approx(e["alphas"]["e12"][3])) for e in alphas
    ]
    assert len(client.get_metric_history(run_id, "relaxed/entropy")) == 3
    files = {f.path for f in client.list_artifacts(run_id, "relaxed")}
    names = ("architecture.png", "curves.png", "gates.png", "search.json")
    assert files == {f"relaxed/{name}" for name in names}
    study.sync()  # doubles nothing
    assert len(client.get_metric_history(run_id, "relaxed/entropy")) == 3

    page = study.report(tmp_path / "r.html").read_text()
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<(script|svg).*?</\1>", "", page, flags=re.S))
    assert "The one-shot search" in text
    assert "rarts, 3 of 3 epochs" in text
    assert "operation removal" in text
    assert page.count("<svg") >= 3


def test_other_settings_are_another_search(
    make_relaxed_study: Callable[..., StudyClass], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    study = make_relaxed_study(storage=url)
    study.optuna_study.sampler._make_search().run(epochs=1)  # type: ignore[attr-defined]
    other = OneShotSettings(epochs=4, regularisation=Regularisation(warmup=1), eigenvalues=False)
    with pytest.raises(StudyError, match="is of another search"):
        make_relaxed_study(storage=url, sampler=other).run(trials=1, progress=False)


def test_other_settings_are_refused_when_the_search_is_over(
    make_relaxed_study: Callable[..., StudyClass], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    study = make_relaxed_study(storage=url).run(trials=1, progress=False)
    make_relaxed_study(storage=url).run(trials=2, progress=False)
    epochs = study.record.findings("relaxed")["planned"]
    other = OneShotSettings(
        epochs=epochs + 1, regularisation=Regularisation(warmup=1), eigenvalues=False
    )
    with pytest.raises(StudyError, match=f"begun with epochs {epochs}, not {epochs + 1}"):
        make_relaxed_study(storage=url, sampler=other)


@pytest.mark.parametrize("sampler", METHODS)
def test_a_function_has_no_supernet(sampler: str) -> None:
    with pytest.raises(StudyError, match=f"sampler '{sampler}' needs a supernet, which Function"):
        Study.of(lambda c: 1.0, nas_bench_201_space(), name="f", sampler=sampler, storage="memory")


def test_what_is_drawn_is_the_architecture() -> None:
    tree = {"links": "0012", "op1": "gcn", "op2": "fc", "op3": "skip", "op4": "gat"}
    assert edges_of(tree) == {
        "network": [(0, 1, "gcn"), (0, 2, "fc"), (1, 3, "skip"), (2, 4, "gat")]
    }
    cells = edges_of(darts_space().default or {})
    assert set(cells) == {"normal cell", "reduce cell"}
    assert len(cells["normal cell"]) == 8
