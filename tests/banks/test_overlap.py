"""Configurations carried from one space to another."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest.banks.overlap import Overlap
from bequest.spaces import Condition, Config, Parameter, Space
from bequest.spaces.gnn import gnn_space
from bequest.spaces.peft import peft_space

SPACE = Space(
    "small",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat"])),
        Parameter("heads", IntDistribution(1, 4), Condition("layer", ("gat",))),
        Parameter("rate", FloatDistribution(0.0, 1.0)),
    ],
    default={"layer": "gcn", "rate": 0.5},
)
GCN: Config = {"layer": "gcn", "rate": 0.25}


def test_graph_designs_are_carried_to_nodes_and_back() -> None:
    nodes, graphs = gnn_space("node"), gnn_space("graph")
    assert graphs.default is not None
    down = Overlap(graphs, nodes)
    assert down.dropped == ["batch_size", "pooling"]
    carried = down.carry(graphs.default)
    assert carried == {k: v for k, v in graphs.default.items() if k not in down.dropped}
    up = Overlap(nodes, graphs)
    assert up.filled == ["pooling", "batch_size"]
    assert up.carry(carried) == graphs.default


def test_a_value_that_the_target_does_not_allow_is_left_behind() -> None:
    narrow = Space("narrow", [SPACE.parameters[0], Parameter("rate", FloatDistribution(0.0, 0.5))])
    overlap = Overlap(SPACE, narrow)
    assert overlap.carry(GCN) == GCN
    assert overlap.carry({**GCN, "rate": 0.75}) is None


def test_a_parameter_that_a_limit_has_raised_is_the_same_parameter() -> None:
    free = peft_space(methods=["probe", "lora"])
    raised = peft_space(methods=["probe", "lora"], lowest={"lora": 2})
    low, high = ({**free.defaults[1], "layer_lo": layer} for layer in (1, 4))
    assert Overlap(free, raised).carry(low) is None
    carried = Overlap(free, raised).carry(high)
    assert carried is not None
    assert carried["layer_lo_from_2"] == 4
    assert Overlap(raised, free).carry(carried) == free.validate(high)
    assert Overlap(free, raised).filled == Overlap(free, raised).dropped == []


def test_spaces_with_little_in_common_are_refused_with_the_reason() -> None:
    other = Space("trees", [Parameter("depth", IntDistribution(1, 9))])
    assert Overlap(other, SPACE).refused == "space 'trees' has 0 of the 3 parameters of 'small'"
    bare = Space("bare", [*SPACE.parameters, Parameter("width", IntDistribution(1, 9))])
    assert "lacks width, and 'bare' has no default" in str(Overlap(SPACE, bare).refused)


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
