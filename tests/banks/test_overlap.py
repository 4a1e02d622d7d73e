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
