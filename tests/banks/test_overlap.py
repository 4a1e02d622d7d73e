"""Carrying configurations between spaces: which parameters are the same choice."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest.banks.overlap import Overlap
from bequest.spaces import Condition, Parameter, Space


def test_names_that_look_alike_are_different_choices() -> None:
    numbers = [Parameter("x", IntDistribution(0, 9)), Parameter("x_from_3", IntDistribution(3, 9))]
    source = Space("mine", [*numbers, Parameter("rate", FloatDistribution(0.0, 1.0))])
    target = Space("mine", numbers)
    overlap = Overlap(source, target)
    assert overlap.carry({"x": 1, "x_from_3": 7, "rate": 0.5}) == {"x": 1, "x_from_3": 7}
    assert overlap.dropped == ["rate"]
    only_x = Space(
        "other", [numbers[0], Parameter("y", IntDistribution(0, 1))], default={"x": 0, "y": 1}
    )
    assert Overlap(source, only_x).carry({"x": 1, "x_from_3": 7, "rate": 0.5}) == {"x": 1, "y": 1}


def test_an_alias_carries_a_value_under_another_name() -> None:
    free = Space("free", [Parameter("x", IntDistribution(0, 9))])
    raised = Space("raised", [Parameter("late_x", IntDistribution(3, 9), alias="x")])
    assert Overlap(free, raised).carry({"x": 5}) == {"late_x": 5}
    assert Overlap(free, raised).carry({"x": 2}) is None
    assert Overlap(raised, free).carry({"late_x": 5}) == {"x": 5}


def test_parameters_that_exclude_each_other_may_share_an_alias() -> None:
    kind = Parameter("kind", CategoricalDistribution(("a", "b")))
    split = Space(
        "split",
        [
            kind,
            Parameter("x", IntDistribution(0, 9), Condition("kind", ("a",))),
            Parameter("x_of_b", IntDistribution(5, 9), Condition("kind", ("b",)), alias="x"),
        ],
    )
    whole = Space("whole", [kind, Parameter("x", IntDistribution(0, 9))])
    overlap = Overlap(whole, split)
    assert overlap.carry({"kind": "a", "x": 2}) == {"kind": "a", "x": 2}
    assert overlap.carry({"kind": "b", "x": 7}) == {"kind": "b", "x_of_b": 7}
    assert Overlap(split, whole).carry({"kind": "b", "x_of_b": 7}) == {"kind": "b", "x": 7}
