"""The worker loop: what becomes of outcomes, errors and reports."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution

from bequest import Study
from bequest.evaluators.task import Outcome
from bequest.spaces import Config, Parameter, Space

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (math.nan, "returned nan, not a finite number"),
        (math.inf, "returned inf, not a finite number"),
        (-math.inf, "returned -inf"),
        (None, "returned None"),
        ("0.9", r"'0.9' \(str\), not a number"),
        (True, "returned True"),
        ([0.9], r"\(list\), not a number"),
        (1 + 2j, "complex"),
        (np.array([0.5, 0.5]), r"\(ndarray\), not a number"),
        (torch.tensor([0.5, 0.5]), r"\(Tensor\), not a number"),
        (torch.tensor(True), "not a number"),
        (torch.tensor(math.nan), "returned nan"),
        (Outcome(math.nan), "returned nan"),
        (Outcome("high"), "not a number"),  # type: ignore[arg-type]
    ],
)
def test_unfit_results_fail_the_trial_with_a_reason(
    make_study: MakeStudy, result: object, reason: str
) -> None:
    study = make_study(lambda c: result if c["x"] < 0 else 1.0, seed=3)
    study.run(trials=3, progress=False)
    failed = [t for t in study.trials if t.config["x"] < 0]
    assert failed
    for trial in failed:
        assert (trial.state, trial.value) == ("failed", None)
        assert re.search(reason, trial.error or "")
    assert study.best.value == 1.0


@pytest.mark.parametrize(
    "number",
    [
        np.float32(0.5),
        np.array(0.5),
        np.array([0.5]),
        torch.tensor(0.5),
        torch.tensor([[0.5]], requires_grad=True),
    ],
    ids=repr,
)
def test_numbers_of_numpy_and_pytorch_are_numbers(make_study: MakeStudy, number: object) -> None:
    assert make_study(lambda c: number).run(trials=1, progress=False).best.value == 0.5


@pytest.mark.parametrize("error", [ValueError("too far"), MemoryError("no room"), SystemError("x")])
def test_exceptions_fail_the_trial_and_the_search_goes_on(
    make_study: MakeStudy, error: Exception
) -> None:
    def sometimes(config: dict[str, Any]) -> float:
        if config["x"] < -2:
            raise error
        return 1.0

    study = make_study(sometimes).run(trials=12, progress=False)
    failed = [t for t in study.trials if t.state == "failed"]
    assert len(failed) == sum(t.config["x"] < -2 for t in study.trials) > 0
    assert failed[0].error == f"{type(error).__name__}: {error}"
    stored = study.optuna_study.all_trials()[failed[0].number].user_attrs["traceback"]
    assert "in sometimes" in stored


def test_pruned_trials_keep_their_last_value(make_study: MakeStudy) -> None:
    def train(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
        for epoch in range(50):
            report(epoch, -abs(config["x"]))
        return -abs(float(config["x"]))

    study = make_study(train, pruner="median").run(trials=30, progress=False)
    pruned = [t for t in study.trials if t.state == "pruned"]
    assert pruned
    assert all(t.value == -abs(t.config["x"]) and len(t.curve) < 50 for t in pruned)
    assert study.best.value == max(-abs(t.config["x"]) for t in study.trials)


def test_reporting_nan_fails_the_trial(make_study: MakeStudy) -> None:
    def train(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
        report(3, math.nan if config["x"] < 0 else 1.0)
        return 1.0

    study = make_study(train, seed=3).run(trials=3, progress=False)
    reasons = {t.error for t in study.trials if t.config["x"] < 0}
    assert reasons == {"EvaluationError: the training reported nan at step 3"}


def test_any_optuna_sampler_may_be_given(make_study: MakeStudy) -> None:
    study = make_study(sampler=optuna.samplers.QMCSampler(seed=1)).run(trials=5, progress=False)
    assert len({t.config["x"] for t in study.trials}) == 5


FINITE = Space(
    "finite",
    [
        Parameter("a", CategoricalDistribution(["p", "q"])),
        Parameter("only", CategoricalDistribution(["one"])),
        Parameter("b", CategoricalDistribution(["r", "s", "t"])),
    ],
)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.BruteForceSampler(seed=0),
        optuna.samplers.GridSampler({"a": ["p", "q"], "b": ["r", "s", "t"]}, seed=0),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_samplers_of_finite_lists_try_all_and_end_the_run(
    tmp_path: Path, sampler: optuna.samplers.BaseSampler, store: str
) -> None:
    """Also where one trial was interrupted and is tried again."""
    calls = 0

    def train(config: Config) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return float(config["b"] == "s")

    study = Study.of(
        train,
        FINITE,
        name="finite",
        sampler=copy.deepcopy(sampler),
        storage="memory" if store == "memory" else f"sqlite:///{tmp_path / 's.db'}",
        tracking=False,
        bank=False,
    )
    with pytest.raises(KeyboardInterrupt):
        study.run(trials=50, progress=False)
    study.run(trials=50, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 6
    assert {(t.config["a"], t.config["b"]) for t in study.trials} == {
        (a, b) for a in "pq" for b in "rst"
    }


def test_samplers_see_what_a_trial_was_and_brought(make_study: MakeStudy) -> None:
    def constraints(trial: optuna.trial.FrozenTrial) -> tuple[float]:
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert trial.values == [trial.params["x"]]
        assert trial.intermediate_values == {0: trial.params["x"]}
        return (trial.user_attrs["metrics"]["cost"] - 1,)

    def train(config: Config, report: Callable[[int, float], None]) -> Outcome:
        report(0, float(config["x"]))
        return Outcome(config["x"], {"cost": abs(config["x"])})

    for sampler in (
        optuna.samplers.TPESampler(seed=0, constraints_func=constraints),
        optuna.samplers.NSGAIISampler(seed=0, population_size=4, constraints_func=constraints),
    ):
        study = make_study(train, sampler=sampler).run(trials=12, progress=False)
        assert [t.state for t in study.trials] == ["complete"] * 12
        kept = [[*t.system_attrs["constraints"]] for t in study.optuna_study.trials]
        assert kept == [[abs(t.config["x"]) - 1] for t in study.trials]


def test_cma_es_may_be_given(make_study: MakeStudy) -> None:
    pytest.importorskip("cmaes")
    study = make_study(sampler=optuna.samplers.CmaEsSampler(seed=1)).run(trials=8, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 8
