"""Slots that are given back: after Ctrl-C, an exception, beside another run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bequest import Study
from bequest.search.execution import worker
from bequest.spaces import Config

MakeStudy = Callable[..., Study]


def test_ctrl_c_gives_the_slot_back(make_study: MakeStudy) -> None:
    calls = []

    def interrupted_once(config: dict[str, Any]) -> float:
        calls.append(config)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return float(config["x"])

    study = make_study(interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        study.run(trials=5, progress=False)
    assert [t.state for t in study.trials] == ["complete", "complete", "lost"]
    study.run(trials=5, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 5
    assert calls[2] == calls[3]
    plain = make_study(lambda c: float(c["x"])).run(trials=5, progress=False)
    assert [t.config for t in plain.trials] == [t.config for t in study.trials]


@pytest.mark.parametrize("place", ["after_trial", "write_trial", "claim"])
def test_what_an_exception_leaves_between_two_steps_is_given_back(
    make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A notebook's process lives on: its trial would seem to be running for ever."""
    calls = 0

    def interrupted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            done = original(*args, **options) if place == "claim" else None
            if calls == 4:
                raise KeyboardInterrupt
            return done if place == "claim" else original(*args, **options)

        return call

    study = make_study(storage=f"sqlite:///{tmp_path / 's.db'}")
    if place == "after_trial":
        owner: Any = type(study.optuna_study.sampler)
    else:
        owner = worker
    monkeypatch.setattr(owner, place, interrupted(getattr(owner, place)))
    with pytest.raises(KeyboardInterrupt):
        study.run(trials=4, progress=False)
    study.run(trials=4, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 4
    plain = make_study().run(trials=4, progress=False)
    assert [t.config for t in plain.trials] == [t.config for t in study.trials]


def test_two_runs_of_one_process_leave_each_others_trials_alone(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    begun, go = threading.Event(), threading.Event()

    def slow(config: Config) -> float:
        begun.set()
        assert go.wait(30)
        return 5.0

    first = make_study(slow, storage=url)
    thread = threading.Thread(target=lambda: first.run(trials=1, progress=False))
    thread.start()
    assert begun.wait(30)
    study = make_study(lambda c: 1.0, storage=url).run(trials=3, progress=False)
    assert [t.state for t in study.trials] == ["running", "complete", "complete"]
    go.set()
    thread.join()
    assert study.best.value == 5.0
