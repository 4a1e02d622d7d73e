"""A small conditional space and an objective that tests of the search share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest.search.study import Study
from bequest.spaces import Condition, Config, Parameter, Space


@pytest.fixture
def toy_space() -> Space:
    return Space(
        "toy",
        [
            Parameter("kind", CategoricalDistribution(["line", "bowl"])),
            Parameter("x", FloatDistribution(-5, 5)),
            Parameter("degree", IntDistribution(1, 9), Condition("kind", ("bowl",))),
        ],
        default={"kind": "line", "x": 1.0},
    )


def bowl(config: Config) -> float:
    """Best, at 0, where x is 0 and the kind is bowl."""
    return -abs(float(config["x"])) - (0.1 if config["kind"] == "line" else 0.0)


@pytest.fixture
def objective() -> Callable[[Config], float]:
    return bowl


@pytest.fixture
def make_study(toy_space: Space) -> Callable[..., Study]:
    """A study of the toy objective (or another function), in memory and untracked by default."""

    def make(function: Callable[..., Any] = bowl, **options: Any) -> Study:
        settings = {"name": "toy", "sampler": "random", "storage": "memory", "tracking": False}
        return Study.of(function, toy_space, **{**settings, **options})

    return make
