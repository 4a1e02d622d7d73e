"""Configurations as counts: what a linear model of them can express."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest.spaces import Condition, Parameter, Space
from bequest.spaces.counts import counts
from bequest.spaces.nas_bench_graph import NasBenchGraphSpace

SPACE = Space(
    "mixed",
    [
        Parameter("kind", CategoricalDistribution(["a", "b"])),
        Parameter("rate", FloatDistribution(1e-4, 1.0, log=True)),
        Parameter("depth", IntDistribution(1, 5), Condition("kind", ("b",))),
    ],
)


def test_a_choice_is_one_column_an_option_and_a_number_lies_between_three_knots() -> None:
    rows = counts(SPACE, [{"kind": "a", "rate": 1e-3}, {"kind": "b", "rate": 1.0, "depth": 3}])
    assert rows.shape == (2, 2 + 3 + 3)
    # A quarter of the way up the logarithm: half low, half middle.
    assert rows[0] == pytest.approx([1, 0, 0.5, 0.5, 0, 0, 0, 0])
    assert rows[1] == pytest.approx([0, 1, 0, 0, 1, 0, 1, 0])


def test_a_linear_model_of_counts_has_a_bend_in_the_middle() -> None:
    """The best rate may lie inside its range: a straight line could not say so."""
    rates = np.logspace(-4, 0, 41)
    rows = counts(SPACE, [{"kind": "a", "rate": rate} for rate in rates.tolist()])
    tent = 1 - np.abs(np.log10(rates) + 2) / 2
    fitted = rows @ np.linalg.lstsq(rows, tent, rcond=None)[0]
    np.testing.assert_allclose(fitted, tent, atol=1e-9)


def test_one_other_choice_is_at_most_two_apart() -> None:
    rng = np.random.default_rng(0)
    config = {"kind": "b", "rate": 0.01, "depth": 2}
    for other in ({**config, "rate": 1.0}, {**config, "depth": 5}):
        a, b = counts(SPACE, [config, other])
        assert 0 < np.square(a - b).sum() <= 2
    a, b = counts(SPACE, [SPACE.sample(rng), SPACE.sample(rng)])
    assert np.isfinite(a - b).all()


def test_a_space_brings_its_own_counts() -> None:
    space = NasBenchGraphSpace()
    configs = [space.sample(np.random.default_rng(i)) for i in range(3)]
    np.testing.assert_array_equal(counts(space, configs), space.features(configs))
