"""A study as its user sees it: results, failures, limits, names."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution

from bequest import Study
from bequest.common.errors import StudyError, UnknownNameError
from bequest.evaluators.task import Outcome
from bequest.spaces import Parameter, Space

MakeStudy = Callable[..., Study]


def test_finds_and_reports_the_best(make_study: MakeStudy) -> None:
    study = make_study().run(trials=30, progress=False)
    values = [t.value for t in study.trials]
    assert [t.slot for t in study.trials] == list(range(30))
    assert study.best.value == max(v for v in values if v is not None)
    assert study.optuna_study.best_value == study.best.value


def test_minimize(make_study: MakeStudy) -> None:
    study = make_study(lambda c: abs(c["x"]), direction="minimize").run(trials=10, progress=False)
    assert study.best.value == min(abs(t.config["x"]) for t in study.trials)


def test_budget_counts_earlier_trials(make_study: MakeStudy) -> None:
    study = make_study().run(trials=4, progress=False).run(trials=6, progress=False)
    assert len(study.run(trials=6, progress=False).trials) == 6


def test_timeout_begins_no_further_trial(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, passed = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + passed)

    def train(config: dict[str, Any]) -> float:
        nonlocal passed
        passed += 1_000  # seconds, without waiting for them
        return 1.0

    study = make_study(train).run(timeout=2_500, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 3


def test_a_limit_is_needed(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="give a limit"):
        make_study().run()


def test_metrics_seed_and_curve_are_kept(make_study: MakeStudy) -> None:
    def train(config: dict[str, Any], seed: int, report: Callable[[int, float], None]) -> Outcome:
        for epoch in range(3):
            report(epoch, epoch / 10)
        return Outcome(0.5, {"seed": seed, "test_accuracy": 0.4, "broken": math.nan})

    trial = make_study(train, seed=7).run(trials=1, progress=False).best
    assert trial.metrics == {"seed": 7.0, "test_accuracy": 0.4}
    assert trial.curve == {0: 0.0, 1: 0.1, 2: 0.2}


def test_unknown_names_are_answered_with_the_closest(make_study: MakeStudy) -> None:
    with pytest.raises(UnknownNameError, match="unknown sampler 'tpee': did you mean 'tpe'?"):
        make_study(sampler="tpee")
    with pytest.raises(UnknownNameError, match="unknown pruner 'med'"):
        make_study(pruner="med")


def test_bad_storage_url_is_one_sentence(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="a study store in memory is storage='memory'"):
        make_study(storage="sqlite://")
    with pytest.raises(StudyError, match="cannot open the study store 'sqlite:////nowhere/x.db'"):
        make_study(storage="sqlite:////nowhere/x.db")
    with pytest.raises(StudyError, match="give a SQLAlchemy URL"):
        make_study(storage="nonsense")


def test_a_store_of_another_optuna_is_one_sentence(make_study: MakeStudy, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    make_study(storage=url)
    with sqlite3.connect(tmp_path / "s.db") as store:
        store.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    with pytest.raises(StudyError, match="cannot open the study store.*no longer compatible"):
        make_study(storage=url)


def test_a_function_has_no_model_to_fit(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="no model to train"):
        make_study().run(trials=1, progress=False).fit_best()


FINITE = Space(
    "finite",
    [
        Parameter("a", CategoricalDistribution(["p", "q"])),
        Parameter("only", CategoricalDistribution(["one"])),
        Parameter("b", CategoricalDistribution(["r", "s", "t"])),
    ],
)
