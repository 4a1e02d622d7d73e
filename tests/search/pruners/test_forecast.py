"""The forecast pruner: right by hand, calibrated, and it survives curves that cross."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner, MedianPruner
from scipy.stats import t as student

from bequest.evaluators.function import FunctionEvaluator, FunctionTask
from bequest.evaluators.peft.space import peft_space
from bequest.evaluators.text.training import TextBudget
from bequest.search.pruners.forecast import Curve, ForecastPruner, chance_to_win, grouping
from bequest.search.studies.trial import Trial
from bequest.search.study import Study
from bequest.spaces import Condition, Parameter, Space
from bequest.spaces.gnn import gnn_space

SPACE = Space(
    "methods",
    [
        Parameter("method", CategoricalDistribution(["probe", "lora", "full"])),
        Parameter("rank", FloatDistribution(1, 64, log=True), Condition("method", ("lora",))),
        Parameter("luck", FloatDistribution(0, 1)),
    ],
)
CURVES = {
    # After one, two and three epochs on TREC-6: full fine-tuning is last twice, then level.
    "probe": (0.79, 0.79, 0.79),
    "lora": (0.80, 0.86, 0.89),
    "full": (0.62, 0.78, 0.90),
}


def _tune(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
    value = 0.0
    for epoch, value in enumerate(CURVES[config["method"]], 1):
        value += 0.02 * (float(config["luck"]) - 0.5)
        report(epoch, value)
    return value


def _study(pruner: str | BasePruner, seed: int) -> Study:
    options: dict[str, Any] = {"storage": "memory", "tracking": False, "sampler": "random"}
    study = Study.of(_tune, SPACE, name="s", pruner=pruner, seed=seed, **options)
    return study.run(trials=40, progress=False)


def _luckiest(study: Study) -> Trial:
    """The trial that would be best if nobody stopped it."""
    return max(study.trials, key=lambda t: (t.config["method"] == "full", t.config["luck"]))


def test_methods_that_start_slowly_survive() -> None:
    saved = 0
    for seed in range(5):
        study = _study("forecast", seed)
        luckiest = _luckiest(study)
        assert luckiest.state == "complete"
        assert study.best == luckiest
        dropped = [t for t in study.trials if t.state == "pruned"]
        # What can be told early is: the probe never wins.
        assert any(t.config["method"] == "probe" for t in dropped)
        saved += sum(3 - len(t.curve) for t in dropped)
    assert saved > 0


def test_rungs_that_compare_values_drop_them() -> None:
    """Why there is a pruner of our own."""
    lost = 0
    for seed in range(5):
        study = _study(MedianPruner(n_startup_trials=5, n_warmup_steps=0), seed)
        lost += study.best != _luckiest(study)
    assert lost >= 3


def test_a_forecast_by_hand() -> None:
    """One group: a straight line by least squares, with its prediction interval."""
    now, end = np.array([0.1, 0.2, 0.3, 0.4, 0.6]), np.array([0.3, 0.35, 0.5, 0.52, 0.8])
    curves = [Curve("a", x, y) for x, y in zip(now.tolist(), end.tolist(), strict=True)]
    slope, intercept = np.polyfit(now, end, 1)
    residual = np.square(end - intercept - slope * now).sum() / 3
    spread = np.square(now - now.mean()).sum()
    deviation = np.sqrt(residual * (1 + 1 / 5 + (0.5 - now.mean()) ** 2 / spread))
    expected = student.sf((0.8 - (intercept + slope * 0.5)) / deviation, 3)
    assert chance_to_win(curves, "a", 0.5) == pytest.approx(expected)


def test_nothing_is_said_of_what_nobody_has_seen() -> None:
    curves = [Curve("a", 0.1 * i, 0.2 * i) for i in range(6)]
    assert chance_to_win(curves, "b", 0.0) is None
    assert chance_to_win(curves[:4], "a", 0.0) is None


@given(st.integers(0, 2**31), st.floats(-3, 3), st.floats(0.1, 50))
def test_scales_do_not_matter(seed: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 2, 12).tolist()
    values = rng.normal(size=(12, 2))
    curves = [Curve(g, *v) for g, v in zip(groups, values.tolist(), strict=True)]
    moved = [Curve(c.group, shift + scale * c.now, shift + scale * c.end) for c in curves]
    expected = chance_to_win(curves, groups[0], 0.3)
    found = chance_to_win(moved, groups[0], shift + scale * 0.3)
    assert expected is not None
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_chances_are_what_they_say() -> None:
    """Of curves that are said to win with a chance between a fifth and four fifths, so many do."""
    rng, said, won = np.random.default_rng(0), [], []
    for _ in range(2_000):
        now = rng.normal(size=13)
        end = 1 + 0.7 * now + 0.5 * rng.normal(size=13)
        curves = [
            Curve(None, x, y) for x, y in zip(now[:12].tolist(), end[:12].tolist(), strict=True)
        ]
        chance = chance_to_win(curves, None, float(now[12]))
        assert chance is not None
        if 0.2 < chance < 0.8:
            said.append(chance)
            won.append(end[12] > end[:12].max())
    assert len(said) > 50
    assert np.mean(won) == pytest.approx(np.mean(said), abs=0.08)


def test_what_others_hang_on_is_the_group() -> None:
    assert grouping(peft_space()) == "method"
    assert grouping(Space("flat", [Parameter("x", FloatDistribution(0, 1))])) is None
    assert grouping(gnn_space("node")) == "layer"


def test_a_study_to_be_minimised() -> None:
    def train(trial: optuna.Trial) -> float:
        loss = 0.0
        start = trial.suggest_float("start", 1, 2)
        for step in range(3):
            loss = start - 0.1 * step
            trial.report(loss, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(pruner=ForecastPruner(), sampler=sampler)
    study.optimize(train, n_trials=30)
    best = min(study.trials, key=lambda t: t.params["start"])
    assert study.best_trial.number == best.number
    assert any(t.state == optuna.trial.TrialState.PRUNED for t in study.trials)


@pytest.mark.parametrize("pruner", ["forecast", "median", "hyperband"])
def test_a_training_that_is_over_is_not_pruned(pruner: str) -> None:
    def train(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
        for step in range(1, 11):
            report(step, float(config["x"]) + 0.01 * step)
        return float(config["x"]) + 0.1

    space = Space("line", [Parameter("x", FloatDistribution(0, 1))])
    evaluator = FunctionEvaluator(train, space, FunctionTask("line", "v", "maximize"))
    evaluator.budget = TextBudget(epochs=10)  # type: ignore[attr-defined]
    study = Study(evaluator, sampler="random", pruner=pruner, storage="memory", tracking=False)
    study.run(trials=40, progress=False)
    steps = [max(t.curve) for t in study.trials if t.state == "pruned"]
    assert steps, "short trainings are pruned, too"
    assert max(steps) < 10


def test_the_bar_is_the_best_of_all_trials() -> None:
    curves = [Curve("lora", 0.5 + i / 100, 0.6 + i / 100 + 0.01 * (i % 2)) for i in range(8)]
    alone = chance_to_win(curves, "lora", 0.57)
    assert alone is not None
    assert alone > 0.05
    assert chance_to_win(curves, "lora", 0.57, best=0.6) == alone
    beaten = chance_to_win(curves, "lora", 0.57, best=0.95)  # say a probe's, which has no curve
    assert beaten is not None
    assert beaten < 0.01
