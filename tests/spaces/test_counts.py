"""Configurations as vectors of counts."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bequest.spaces import Condition, Parameter, Space
from bequest.spaces.counts import counts

SPACE = Space(
    "toy",
    [
        Parameter("layer", CategoricalDistribution(("gcn", "gat", "mlp"))),
        Parameter("rate", FloatDistribution(0.0, 1.0), Condition("layer", ("gcn", "gat"))),
    ],
)


@pytest.mark.parametrize(
    ("rate", "low_middle_high"),
    [
        (0.0, [1, 0, 0]),
        (0.25, [0.5, 0.5, 0]),
        (0.5, [0, 1, 0]),
        (0.9, [0, 0.2, 0.8]),
        (1.0, [0, 0, 1]),
    ],
)
def test_a_number_is_shared_out_between_its_two_knots(
    rate: float, low_middle_high: list[float]
) -> None:
    row = counts(SPACE, [{"layer": "gat", "rate": rate}])[0]
    assert row.tolist() == pytest.approx([0, 1, 0, *low_middle_high])


def test_an_inactive_choice_counts_nothing() -> None:
    assert counts(SPACE, [{"layer": "mlp"}]).tolist() == [[0, 0, 1, 0, 0, 0]]


def test_configurations_that_differ_in_one_choice_are_at_most_two_apart() -> None:
    rows = counts(SPACE, [{"layer": "gat", "rate": r} for r in np.linspace(0, 1, 21)])
    squared = np.square(rows[:, None] - rows[None]).sum(-1)
    assert squared.max() == pytest.approx(2.0)
    assert squared[0, 10] == pytest.approx(2.0)  # low and middle share nothing
