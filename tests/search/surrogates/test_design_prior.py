"""AutoTransfer's design prior: its formula."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.common.errors import BankError
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.spaces import Config, Parameter, Space

SPACE = Space(
    "pair",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat", "gin"])),
        Parameter("rate", FloatDistribution(0, 1)),
    ],
)
CONFIGS: tuple[Config, ...] = tuple(
    {"layer": layer, "rate": rate}
    for layer, rate in [("gcn", 0.1), ("gcn", 0.2), ("gat", 0.3), ("gin", 0.9)]
)
TASKS = tuple(BankTask(name, "accuracy") for name in ("near", "far", "farther", "other"))
VALUES = np.array(
    [
        [0.9, 0.8, 0.1, 0.0],  # near: gcn, gcn
        [0.8, 0.1, 0.9, 0.0],  # far: gat, gcn
        [0.1, 0.2, np.nan, 0.9],  # farther: gin, gcn
        [0.0, 0.0, 0.0, 0.9],
    ]
)
SCORES = Scores(SPACE, TASKS, CONFIGS, VALUES, ("",) * 4)
SIMILARITY = {"near": 0.9, "far": 0.8, "farther": 0.6, "other": -1.0}


def test_the_formula() -> None:
    prior = DesignPrior(SCORES, SIMILARITY, nearest=3, top=2, epsilon=0.1)
    weights = np.array([1 / 0.1, 1 / 0.2, 1 / 0.4])
    near, far, farther = weights / weights.sum()
    found = prior.probabilities("layer")
    assert found["gcn"] == pytest.approx(0.9 * (near + far / 2 + farther / 2) + 0.1 / 3)
    assert found["gat"] == pytest.approx(0.9 * far / 2 + 0.1 / 3)
    assert found["gin"] == pytest.approx(0.9 * farther / 2 + 0.1 / 3)
    assert list(prior.weights) == ["near", "far", "farther"]


def test_draws_follow_the_formula() -> None:
    prior = DesignPrior(SCORES, SIMILARITY, nearest=3, top=2, epsilon=0.1)
    rng = np.random.default_rng(0)
    drawn = [prior.draw(rng)["layer"] for _ in range(4000)]
    for choice, share in prior.probabilities("layer").items():
        assert drawn.count(choice) / 4000 == pytest.approx(share, abs=0.03)


def test_without_smoothing_the_unseen_never_comes() -> None:
    rng = np.random.default_rng(0)
    near = {"near": 1.0}
    strict = DesignPrior(SCORES, near, nearest=1, top=2, epsilon=0.0)
    assert {strict.draw(rng)["layer"] for _ in range(200)} == {"gcn"}
    smooth = DesignPrior(SCORES, near, nearest=1, top=2, epsilon=0.05)
    assert {smooth.draw(rng)["layer"] for _ in range(1000)} == {"gcn", "gat", "gin"}


def test_numbers_are_those_of_the_best_designs() -> None:
    rng = np.random.default_rng(0)
    prior = DesignPrior(SCORES, SIMILARITY, nearest=1, top=2, epsilon=0.0)
    rates = [prior.draw(rng)["rate"] for _ in range(100)]
    assert set(rates) == {0.1, 0.2}


def test_a_bank_without_tasks_is_refused() -> None:
    with pytest.raises(BankError, match="says nothing of space 'pair'"):
        DesignPrior(SCORES.only([]), {})
