"""What samplers and selectors of version 0.1.0 proposed: a later version proposes the same.

``tests/assets/0.1.0/proposals.json`` was written by that version from the cases below. Studies that
it began go on as they were begun, and stored figures stay, only while these are equal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.spaces import Condition, Config, Parameter, Space

PATH = Path(__file__).resolve().parents[1] / "assets" / "0.1.0" / "proposals.json"

CONDITIONAL = Space(
    "conditional",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat", "none"])),
        Parameter("heads", IntDistribution(1, 8), Condition("layer", ("gat",))),
        Parameter("dropout", FloatDistribution(0, 0.9), Condition("layer", ("gcn", "gat"))),
        Parameter("rate", FloatDistribution(1e-4, 1e-1, log=True)),
    ],
    default={"layer": "gcn", "dropout": 0.5, "rate": 0.01},
)
CHOICES = Space(
    "choices", [Parameter(n, CategoricalDistribution(list("abcd"))) for n in ("p", "q", "r", "s")]
)
PLANE = Space(
    "plane", [Parameter("x", FloatDistribution(-5, 10)), Parameter("y", FloatDistribution(0, 15))]
)
SPACES = (CONDITIONAL, CHOICES, PLANE)


def objective(config: Config) -> float:
    """Smooth in numbers, additive in choices."""
    value = -abs(np.log10(float(config.get("rate", 0.01))) + 1.7)
    value -= float(config.get("dropout", 0.3)) / 10
    value += {"gat": 0.5, "gcn": 0.3}.get(str(config.get("layer")), 0.0)
    for i, name in enumerate(("p", "q", "r", "s")):
        value += 0.1 * "abcd".index(str(config.get(name, "a"))) * (i - 1.3)
    if "x" in config:
        value -= (float(config["x"]) - 3) ** 2 / 10 + abs(float(config["y"]) - 2) / 5
    return float(value - 0.02 * abs(int(config.get("heads", 4)) - 4))


def scores_of(space: Space) -> Scores:
    """Five tasks like the objective, one against it, with gaps."""
    rng = np.random.default_rng(0)
    configs = {space.key(c): c for c in (space.sample(rng) for _ in range(40))}
    values = np.array(
        [
            [objective(c) * (-1 if i == 3 else 1) + 0.1 * rng.normal() for c in configs.values()]
            for i in range(5)
        ]
    )
    values[rng.random(values.shape) < 0.2] = np.nan
    tasks = tuple(BankTask(f"t{i}", "accuracy") for i in range(5))
    return Scores(space, tasks, tuple(configs.values()), values, ("",) * len(configs))


def proposals(sampler: BaseSampler, space: Space, trials: int = 18) -> list[dict[str, Any]]:
    """A study's configurations; some trials fail, some run for long."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    waiting = []
    for number in range(trials):
        trial = study.ask()
        config = space.suggest(trial)
        if number % 7 == 3:
            waiting.append((trial, config))
        elif number % 5 == 4:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, objective(config))
        if number == 10:
            for late, configured in waiting:
                study.tell(late, objective(configured))
            waiting = []
    return [trial.params for trial in study.trials]


def matrix(contexts: np.ndarray) -> np.ndarray:
    """Returns that fade with the distance, with a trend and noise."""
    gaps = np.abs(contexts[:, None] - contexts).sum(2)
    noise = np.random.default_rng(0).normal(size=gaps.shape)
    return np.asarray(1 - gaps / 10 + 0.05 * noise + 0.02 * contexts[:, :1])


def asked(selector: Any, sources: int) -> list[float]:
    """The sources and expected gains of a selection, then a batch; some cells are missing."""
    returns = matrix(selector.contexts)
    numbers: list[float] = []
    for step in range(sources):
        source = selector.ask()
        row = returns[source].copy()
        if step == sources - 1:
            row[::5] = np.nan
        selector.tell(source, row)
        gain = selector.expected_gain
        numbers += [float(source), 0.0 if np.isnan(gain) else float(gain)]
    return [*numbers, *map(float, selector.ask_batch(3))]


def check(case: str, found: Sequence[Any]) -> None:
    """Compare with what version 0.1.0 proposed."""
    expected = json.loads(PATH.read_text())[case]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(other, dict):
            assert one.keys() == other.keys()
            pairs = [(one[name], value) for name, value in other.items()]
        else:
            pairs = [(one, other)]
        for value, before in pairs:
            exact = isinstance(before, str)
            assert value == (before if exact else pytest.approx(before, rel=1e-6, abs=1e-9)), case
