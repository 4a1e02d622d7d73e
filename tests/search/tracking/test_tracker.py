"""The mirror in MLflow: on its own database, on a real server, and when that is down."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from bequest.common.errors import StudyError
from bequest.evaluators.task import Outcome
from bequest.search.studies.record import open_record
from bequest.search.study import Study
from bequest.search.tracking.tracker import make_tracker

MakeStudy = Callable[..., Study]


def _train(config: dict[str, Any], report: Callable[[int, float], None]) -> Outcome:
    value = -abs(float(config["x"]))
    if config["x"] > 3:
        raise ValueError("too far")
    for epoch in range(30):
        report(epoch, value)
    return Outcome(value, {"seconds": 1.5})


def _runs(client: MlflowClient) -> tuple[Run, list[Run]]:
    """The one parent, and its children in the order of their slots."""
    ids = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(ids)
    parents = [r for r in runs if r.data.tags.get("bequest.role") == "study"]
    assert len(parents) == 1
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(children) == len(runs) - 1
    return parents[0], sorted(children, key=lambda r: int(r.data.tags["bequest.slot"]))


@pytest.fixture
def client(mlflow_home: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{mlflow_home / 'mlflow.db'}")


def test_parent_and_children(make_study: MakeStudy, client: MlflowClient) -> None:
    study = make_study(_train, tracking=None, pruner="median", seed=4).run(trials=25)
    parent, children = _runs(client)
    assert parent.info.run_name == "toy"
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {
        "task": "toy",
        "sampler": "random",
        "pruner": "median",
        "seed": "4",
    }
    assert parent.data.tags["bequest.best_slot"] == str(study.best.slot)
    assert parent.data.metrics["best"] == study.best.value
    assert [d.dataset.name for d in parent.inputs.dataset_inputs] == ["toy"]
    assert len(children) == 25
    statuses = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
    assert {t.state for t in study.trials} == set(statuses)
    for trial, run in zip(study.trials, children, strict=True):
        assert run.info.status == statuses[trial.state]
        assert run.data.tags["bequest.state"] == trial.state
        assert run.data.params == {k: str(v) for k, v in trial.config.items()}
        assert run.data.metrics.get("objective") == trial.value
        assert run.data.tags.get("bequest.error") == trial.error
        assert trial.started is not None
        assert run.info.start_time == int(trial.started.timestamp() * 1000)
        curve = client.get_metric_history(run.info.run_id, "value_curve")
        assert {m.step: m.value for m in curve} == trial.curve
    # The client of the oldest MLflow would look for the run in another place.
    place = f"{parent.info.artifact_uri}/plots"
    names = {Path(f.path).name for f in mlflow.artifacts.list_artifacts(artifact_uri=place)}
    assert names == {
        "optimization_history.png",
        "param_importances.png",
        "intermediate_values.png",
        "slice.png",
    }


def test_resuming_doubles_nothing(
    make_study: MakeStudy, client: MlflowClient, tmp_path: Path
) -> None:
    options = {"tracking": None, "storage": f"sqlite:///{tmp_path / 's.db'}"}
    make_study(_train, **options).run(trials=3)
    make_study(_train, **options).run(trials=6)
    make_study(_train, **options).sync()
    _, children = _runs(client)
    assert [int(r.data.tags["bequest.slot"]) for r in children] == list(range(6))


def test_interrupted_study_is_killed_and_lost_trials_are_not_logged(
    make_study: MakeStudy, client: MlflowClient
) -> None:
    calls = 0

    def train(config: dict[str, Any]) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return 1.0

    study = make_study(train, tracking=None)
    with pytest.raises(KeyboardInterrupt):
        study.run(trials=5)
    parent, children = _runs(client)
    assert (parent.info.status, len(children)) == ("KILLED", 2)
    study.run(trials=5)
    parent, children = _runs(client)
    assert (parent.info.status, len(children)) == ("FINISHED", 5)


def test_long_curves_and_many_metrics_go_in_batches(
    make_study: MakeStudy, client: MlflowClient
) -> None:
    def train(config: dict[str, Any], report: Callable[[int, float], None]) -> Outcome:
        for epoch in range(2500):
            report(epoch, epoch / 2500)
        return Outcome(1.0, {f"metric_{i}": float(i) for i in range(50)})

    make_study(train, tracking=None).run(trials=1)
    _, children = _runs(client)
    assert len(client.get_metric_history(children[0].info.run_id, "value_curve")) == 2500
    assert len(children[0].data.metrics) == 52


def test_names_that_mlflow_does_not_take_are_changed(
    make_study: MakeStudy, client: MlflowClient
) -> None:
    def train(config: dict[str, Any]) -> Outcome:
        return Outcome(1.0, {"loss (log)": 2.0, "loss [log]": 3.0, "objective": 4.0, "../up": 5.0})

    study = make_study(train, tracking=None).run(trials=1)
    assert study.tracker.error is None
    _, (child,) = _runs(client)
    metrics = {"objective": 1.0, "loss _log_": 2.0, "loss _log__": 3.0, "objective_": 4.0}
    assert {k: child.data.metrics[k] for k in metrics} == metrics
    assert child.data.metrics["__up"] == 5.0


def test_a_trial_that_cannot_be_written_is_not_passed_over(
    make_study: MakeStudy, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ValueError("no such batch")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", broken)
        study = make_study(_train, tracking=None)
        with pytest.warns(UserWarning, match="no such batch.*nothing is lost"):
            study.run(trials=3)
    parent, _ = _runs(client)
    assert parent.info.status == "RUNNING"
    study.tracker.sync()
    parent, children = _runs(client)
    assert parent.info.status == "FINISHED"
    assert [c.info.status in ("FINISHED", "FAILED") for c in children] == [True] * 3


def test_the_file_store_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="is a folder, which MLflow no longer keeps up"):
        make_study(tracking="./mlruns").run(trials=1)


# A real server ------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    end = time.time() + 240
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process
        except OSError:
            time.sleep(0.2)
    raise AssertionError((folder / "server.log").read_text())


def _stop_server(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, 15)
    process.wait(timeout=30)


@pytest.fixture
def server_port() -> int:
    return _free_port()


def test_a_server_that_is_down_stops_nothing_and_gets_everything_later(
    make_study: MakeStudy,
    mlflow_home: Path,
    tmp_path: Path,
    server_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = f"http://127.0.0.1:{server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    url = f"sqlite:///{tmp_path / 's.db'}"
    study = make_study(_train, tracking=None, storage=url)
    began = time.time()
    with pytest.warns(UserWarning, match="nothing is lost, `bequest sync toy`"):
        study.run(trials=8)
    assert time.time() - began < 60
    assert len(study.trials) == 8
    with pytest.raises(StudyError, match="cannot be written"):
        study.sync()

    server = _start_server(mlflow_home, server_port)
    try:
        # From the store alone, as `bequest sync` does it in another process.
        assert make_tracker(open_record("toy", url), None).sync() == 8
        _, children = _runs(MlflowClient(tracking_uri=uri))
        for trial, run in zip(study.trials, children, strict=True):
            assert run.data.params == {k: str(v) for k, v in trial.config.items()}
            assert trial.finished is not None
            assert run.info.end_time == int(trial.finished.timestamp() * 1000)
            assert math.isfinite(run.data.metrics.get("objective", 0.0))
        assert make_tracker(open_record("toy", url), None).sync() == 0
    finally:
        _stop_server(server)


def test_two_processes_that_share_a_study_write_each_trial_once(
    make_study: MakeStudy, client: MlflowClient, tmp_path: Path
) -> None:
    """As on two machines: each follows the study with a mirror of its own."""
    script = tmp_path / "run.py"
    script.write_text(
        "import time\n"
        "from optuna.distributions import FloatDistribution\n"
        "from bequest import Parameter, Space, Study\n"
        "def train(config):\n"
        "    time.sleep(0.2)\n"
        "    return config['x']\n"
        "space = Space('line', [Parameter('x', FloatDistribution(0, 1))])\n"
        "Study.of(train, space, name='shared', sampler='random', bank='none',\n"
        f"         storage='sqlite:///{tmp_path / 's.db'}').run(trials=30, progress=False)\n"
    )
    both = [subprocess.Popen([sys.executable, str(script)], env={**os.environ}) for _ in range(2)]
    assert [process.wait(timeout=180) for process in both] == [0, 0]
    study = open_record("shared", f"sqlite:///{tmp_path / 's.db'}")
    owners = {trial.owner["pid"] for trial in study.trials}
    assert len(owners) == 2
    parent, children = _runs(client)
    assert [int(r.data.tags["bequest.slot"]) for r in children] == list(range(30))
    assert parent.info.status == "FINISHED"
