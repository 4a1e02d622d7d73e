"""Stopping anywhere and running again gives the trials of one uninterrupted run."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from bequest.search.execution.ownership import owner
from bequest.search.execution.slots import OWNER
from bequest.search.execution.storage import SqlStorage, create_trial
from bequest.search.studies.trial import Trial
from bequest.search.study import Study

MakeStudy = Callable[..., Study]
FORK = multiprocessing.get_context("fork")
TRIALS = 14


def _train(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
    value = -abs(float(config["x"]))
    for epoch in range(25):
        report(epoch, value - 1 / (epoch + 1))
    if config["x"] > 4.5:
        raise ValueError("too far")
    return value


def _essence(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(t.slot, t.state, t.config, t.value, t.curve) for t in trials]


def _in_child(action: Callable[[], None]) -> int:
    process = FORK.Process(target=action)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _kill_self_at_write(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL before the transaction of that number: nothing can be tidied up any more."""
    count = 0

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    for name in ("write_trial", "_create_new_trial", "set_trial_intermediate_value"):
        monkeypatch.setattr(SqlStorage, name, counting(getattr(SqlStorage, name)))


MATRIX = [
    *itertools.product(
        ["random", "tpe", "evolution", "gp"], ["none", "forecast", "median", "hyperband"]
    ),
    ("transfer", "none"),
]


@pytest.mark.parametrize(("sampler", "pruner"), MATRIX)
def test_killed_at_any_write_the_sequence_is_the_uninterrupted_one(
    make_study: MakeStudy,
    tmp_path: Path,
    sampler: str,
    pruner: str,
) -> None:
    options = {"sampler": sampler, "pruner": pruner, "seed": 1}
    if sampler == "transfer":
        options["bank"] = f"sqlite:///{tmp_path / 'bank.db'}"
        make_study(name="earlier", bank=options["bank"]).run(trials=TRIALS, progress=False)
    whole = make_study(_train, **options).run(trials=TRIALS, progress=False)
    url = f"sqlite:///{tmp_path / 's.db'}"
    chance = random.Random(f"{sampler} {pruner}")

    def run(kill_at: int | None) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if kill_at is not None:
                _kill_self_at_write(kill_at, patch)
            make_study(_train, storage=url, **options).run(trials=TRIALS, progress=False)

    # First writes are the delicate ones (a claim without a configuration): take them for sure.
    codes = [
        _in_child(lambda kill_at=kill_at: run(kill_at))
        for kill_at in (1, 2, 3, 4, *(chance.randrange(1, 60) for _ in range(4)))
    ]
    assert codes[:4] == [-signal.SIGKILL] * 4
    assert {*codes[4:]} <= {-signal.SIGKILL, 0}  # 0 where so many writes were not left
    assert _in_child(lambda: run(None)) == 0

    resumed = make_study(_train, storage=url, **options)
    assert _essence(resumed.trials) == _essence(whole.trials)
    if sampler == "transfer":
        assert {row["task"] for row in resumed.record.source_weights} == {"earlier"}
    assert "running" not in {t.state.name.lower() for t in resumed.optuna_study.all_trials()}


def test_a_live_trial_of_another_process_is_left_alone(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    go = tmp_path / "go"

    def slow(config: dict[str, Any]) -> float:
        (tmp_path / "begun").touch()
        while not go.exists():
            time.sleep(0.01)
        return 5.0

    other = FORK.Process(target=lambda: make_study(slow, storage=url).run(trials=1, progress=False))
    other.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    study = make_study(lambda c: 1.0, storage=url).run(trials=4, progress=False)
    assert [t.state for t in study.trials] == ["running", "complete", "complete", "complete"]
    go.touch()
    other.join()
    assert study.best.value == 5.0


def test_a_run_killed_again_and_again_in_one_slot_gives_it_up(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"

    def poison(config: dict[str, Any]) -> float:
        if config["x"] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    def run() -> None:
        make_study(poison, storage=url, seed=3).run(trials=3, progress=False)

    kills = 0
    while _in_child(run) != 0:
        kills += 1
        assert kills <= 30
    trials = make_study(poison, storage=url, seed=3).trials
    failed = [t for t in trials if t.config["x"] < 0]
    assert kills == 10 * len(failed) > 0
    assert {t.error for t in failed} == {
        "given up: the run was stopped or killed 10 times while this configuration was training"
    }


@pytest.mark.parametrize("silent", [True, False])
def test_what_another_host_leaves_is_taken_over_when_it_is_silent(
    make_study: MakeStudy, tmp_path: Path, silent: bool
) -> None:
    place = tmp_path / "s.db"
    template = optuna.trial.create_trial(
        state=TrialState.RUNNING, system_attrs={OWNER: {**owner(), "host": "elsewhere"}}
    )

    def train(config: dict[str, Any]) -> float:
        inner = study.optuna_study
        if len(study.trials) == 1:  # the other one begins, and dies, while this one works
            begun = create_trial(inner, template)
            if silent:
                with sqlite3.connect(place) as store:
                    beat = "UPDATE trial_heartbeats SET heartbeat = ? WHERE trial_id = ?"
                    store.execute(beat, ("2020-01-01 00:00:00", begun._trial_id))
        return 0.0

    study = make_study(train, storage=f"sqlite:///{place}")
    study.run(trials=3, progress=False)
    middle = "complete" if silent else "running"
    assert [t.state for t in study.trials] == ["complete", middle, "complete"]
