"""Worker processes: real ones, that work, crash, hang and lose their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.distributions import CategoricalDistribution

from bequest.common.errors import StudyError
from bequest.search.execution.ownership import owner
from bequest.search.execution.slots import OWNER
from bequest.search.study import Study
from bequest.spaces import Config, Parameter, Space

MakeStudy = Callable[..., Study]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 's.db'}"


def test_two_workers_share_the_slots(make_study: MakeStudy, url: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()

    def train(config: dict[str, Any]) -> float:
        (begun / str(os.getpid())).touch()
        end = time.time() + 300
        while len(list(begun.iterdir())) < 2 and time.time() < end:
            time.sleep(0.02)  # until both work, however slow the machine is
        return float(os.getpid())

    study = make_study(train, storage=url).run(trials=20, workers=2, progress=False)
    assert [(t.slot, t.state) for t in study.trials] == [(i, "complete") for i in range(20)]
    assert len({t.value for t in study.trials}) == 2
    assert os.getpid() not in {t.value for t in study.trials}
    alone = make_study().run(trials=20, progress=False)
    assert [t.config for t in study.trials] == [t.config for t in alone.trials]


def test_a_sampler_that_has_tried_all_ends_all_workers(url: str) -> None:
    choices = CategoricalDistribution(["p", "q", "r"])
    study = Study.of(
        lambda config: 1.0,
        Space("finite", [Parameter("a", choices), Parameter("b", choices)]),
        name="finite",
        sampler=optuna.samplers.BruteForceSampler(seed=0),
        storage=url,
        tracking=False,
        bank=False,
    ).run(trials=50, workers=2, progress=False)
    assert {t.state for t in study.trials} == {"complete"}
    assert len({(t.config["a"], t.config["b"]) for t in study.trials}) == 9
    assert len(study.trials) < 50


def test_a_crashing_configuration_is_tried_twice(
    make_study: MakeStudy, url: str, tmp_path: Path
) -> None:
    def train(config: dict[str, Any]) -> float:
        if config["x"] < -2:
            with open(tmp_path / f"crash{config['x']}", "a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGSEGV)
        return 1.0

    study = make_study(train, storage=url).run(trials=10, workers=2, progress=False)
    crashed = [t for t in study.trials if t.config["x"] < -2]
    assert crashed
    assert all((tmp_path / f"crash{t.config['x']}").read_text() == "xx" for t in crashed)
    assert {t.error for t in crashed} == {
        "given up: its worker died 2 times while this configuration was training"
    }
    others = [t for t in study.trials if t not in crashed]
    assert {t.state for t in others} == {"complete"}
    assert len(study.trials) == 10


def test_most_trials_failing_stops_all_workers(make_study: MakeStudy, url: str) -> None:
    def train(config: dict[str, Any]) -> float:
        time.sleep(0.02)
        raise ValueError("no such column")

    with pytest.raises(StudyError, match="no such column"):
        make_study(train, storage=url).run(trials=1000, workers=2, progress=False)
    assert not _workers_of(os.getpid())


def test_workers_that_cannot_start_are_an_error(
    make_study: MakeStudy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(storage=url)
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(StudyError, match="workers cannot start"):
        study.run(trials=2, workers=2, progress=False)


def test_what_cannot_be_sent_to_workers_is_refused(make_study: MakeStudy, url: str) -> None:
    lock = threading.Lock()

    def train(config: Config) -> float:
        with lock:
            return 1.0

    with pytest.raises(StudyError, match=r"cannot be given this search \(cannot pickle.*workers=1"):
        make_study(train, storage=url).run(trials=2, workers=2, progress=False)


def test_an_evaluator_that_ends_its_process_ends_the_run(make_study: MakeStudy, url: str) -> None:
    def train(config: Config) -> float:
        sys.exit(0)

    study = make_study(train, storage=url)
    with pytest.raises(StudyError, match=r"ended its process with sys.exit\(0\): let it raise"):
        study.run(trials=4, workers=2, progress=False)
    assert "running" not in {t.state for t in study.trials}


class _Broken(optuna.samplers.RandomSampler):
    def sample_independent(self, *_: Any) -> Any:
        raise ValueError("the sampler is at its wit's end")


def test_a_samplers_error_is_said_as_it_is(make_study: MakeStudy, url: str) -> None:
    study = make_study(sampler=_Broken(), storage=url)
    with pytest.raises(StudyError, match=r"cannot go on: ValueError: the sampler is at its wit's"):
        study.run(trials=4, workers=2, progress=False)


def test_workers_need_a_stored_study(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="worker processes need a stored study"):
        make_study().run(trials=2, workers=2)


def test_workers_die_with_their_parent(make_study: MakeStudy, url: str) -> None:
    def train(config: dict[str, Any]) -> float:
        time.sleep(60)
        return 1.0

    context = multiprocessing.get_context("fork")
    parent = context.Process(
        target=lambda: make_study(train, storage=url).run(trials=4, workers=2, progress=False)
    )
    parent.start()
    assert parent.pid is not None
    study = make_study(train, storage=url)
    _wait_for(lambda: len([t for t in study.trials if t.state == "running"]) == 2)
    workers = _workers_of(parent.pid)
    assert len(workers) == 2
    parent.kill()
    parent.join()
    _wait_for(lambda: not any(w.is_running() and w.status() != "zombie" for w in workers))
    fast = make_study(lambda c: 1.0, storage=url).run(trials=4, progress=False)
    assert [t.state for t in fast.trials] == ["complete"] * 4


def _workers_of(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children()
    return [c for c in children if "bequest.search.execution.worker_process" in c.cmdline()]


def _wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.05)


def test_a_scripts_own_modules_are_found(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "helpers.py").write_text("def train(config):\n    return config['x']\n")
    (tmp_path / "scripts" / "run.py").write_text(
        "from helpers import train\n"
        "from optuna.distributions import FloatDistribution\n"
        "from bequest import Parameter, Space, Study\n"
        "space = Space('line', [Parameter('x', FloatDistribution(0, 1))])\n"
        "study = Study.of(train, space, name='own', storage='sqlite:///s.db', tracking=False,\n"
        "                 sampler='random', bank='none')\n"
        "print(len(study.run(trials=4, workers=2, progress=False).trials))\n"
    )
    done = subprocess.run(
        [sys.executable, "scripts/run.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "4", done.stderr


def test_what_a_worker_refuses_is_said_as_it_is(toy_space: Space, url: str) -> None:
    study = Study.of(
        lambda config: 1.0,
        toy_space,
        name="toy",
        storage=url,
        minimize=["cost"],
        sampler="random",
        tracking=False,
    )
    with pytest.raises(StudyError, match=r"^unknown metric to minimize 'cost'"):
        study.run(trials=4, workers=2, progress=False)


def test_another_machines_trial_of_the_same_number_stays(make_study: MakeStudy, url: str) -> None:
    """A pool that stops gives back what its own workers have begun, and nobody else's."""

    def train(config: dict[str, Any]) -> float:
        away = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            system_attrs={OWNER: {**owner(), "host": "elsewhere"}},
        )
        optuna.load_study(study_name="toy", storage=url).add_trial(away)
        time.sleep(0.2)
        raise ValueError("no such column")

    study = make_study(train, storage=url)
    with pytest.raises(StudyError, match="no such column"):
        study.run(trials=1000, workers=2, progress=False)
    hosts: dict[Any, set[str]] = {True: set(), False: set()}
    for trial in study.optuna_study.all_trials():
        away = trial.system_attrs[OWNER]["host"] == "elsewhere"
        hosts[away].add(trial.state.name)
    assert hosts == {True: {"RUNNING"}, False: {"FAIL"}}
