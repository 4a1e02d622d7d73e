"""The same study store on a real PostgreSQL server, which the tests start themselves."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from bequest.search.study import Study

MakeStudy = Callable[..., Study]
FORK = multiprocessing.get_context("fork")


def _train(config: dict[str, Any]) -> float:
    time.sleep(0.02)
    return -abs(float(config["x"]))


def test_two_controllers_share_one_study(make_study: MakeStudy, postgresql: str) -> None:
    """As on two machines: the same script, started twice."""
    options = {"storage": postgresql, "name": "shared"}
    all_have_begun = FORK.Barrier(3, timeout=300)  # however slow the machine is

    def train(config: dict[str, Any]) -> float:
        nonlocal first
        if first:
            first = False
            all_have_begun.wait()
        return _train(config)

    first = True

    def run() -> None:
        make_study(train, **options).run(trials=24, progress=False)

    others = [FORK.Process(target=run) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    study = make_study(_train, **options)
    assert [t.slot for t in study.trials] == list(range(24))
    assert {t.state for t in study.trials} == {"complete"}
    alone = make_study(_train).run(trials=24, progress=False)
    assert [t.config for t in study.trials] == [t.config for t in alone.trials]
    pids = {
        t.system_attrs["bequest:owner"]["pid"]
        for t in study.optuna_study.all_trials()
        if "bequest:lost" not in t.system_attrs
    }
    assert len(pids) == 3


def test_a_kill_and_a_resume(make_study: MakeStudy, postgresql: str) -> None:
    options = {"storage": postgresql, "name": "killed", "sampler": "tpe"}

    def run(kill_in_slot: int | None) -> None:
        calls = 0

        def train(config: dict[str, Any]) -> float:
            nonlocal calls
            calls += 1
            if calls == kill_in_slot:
                os.kill(os.getpid(), signal.SIGKILL)
            return _train(config)

        make_study(train, **options).run(trials=15, progress=False)

    for kill in (3, 4, None):
        process = FORK.Process(target=run, args=(kill,))
        process.start()
        process.join()
    resumed = make_study(_train, **options).trials
    whole = make_study(_train, sampler="tpe", name="killed").run(trials=15, progress=False).trials
    assert [(t.slot, t.config, t.value) for t in resumed] == [
        (t.slot, t.config, t.value) for t in whole
    ]
