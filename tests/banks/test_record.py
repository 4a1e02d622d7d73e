"""Tasks and records: names, conditions, keys."""

from __future__ import annotations

import math

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bequest.banks.record import (
    FULL,
    BankTask,
    Record,
    design_key,
    name_under,
    record_key,
    superseded_key,
    task_of,
)
from bequest.common.errors import UnknownNameError
from bequest.spaces import Condition, Parameter, Space

SPACE = Space(
    "pair",
    [
        Parameter("kind", CategoricalDistribution(["a", "b"])),
        Parameter("x", FloatDistribution(0, 1), Condition("kind", ("b",))),
    ],
)


def test_conditions_are_part_of_a_tasks_name() -> None:
    assert name_under("trec6", {}) == "trec6"
    assert name_under("trec6", {"epochs": 5, "rows": 9}) == "trec6 (epochs 5, rows 9)"


def test_a_task_says_whose_it_is_and_under_which_conditions() -> None:
    facts = {"kind": "text classification", "rows": 7}
    plain = task_of("trec6", "f1", "maximize", facts, {})
    assert plain == BankTask("trec6", "f1", "maximize", "text classification", facts)
    short = task_of("trec6", "f1", "minimize", {"rows": 7}, {"epochs": 5})
    assert (short.name, short.direction, short.kind) == ("trec6 (epochs 5)", "minimize", "")
    assert short.facts == {"rows": 7, "task": "trec6", "conditions": {"epochs": 5}}
    with pytest.raises(UnknownNameError, match="known are maximize, minimize"):
        BankTask("trec6", "f1", "min")


def test_keys_tell_evaluations_apart() -> None:
    one, other = ({"kind": "b", "x": x} for x in (0.25, 0.5))
    designs = {design_key(SPACE, config) for config in (one, other, {"kind": "a"})}
    assert len(designs) == 3
    assert design_key(SPACE, dict(reversed(one.items()))) == design_key(SPACE, one)
    design = designs.pop()
    keys = {
        record_key(*key)
        for key in [
            ("t", design, 0, 1.0),
            ("u", design, 0, 1.0),
            ("t", design, 1, 1.0),
            ("t", design, 0, 0.5),
            ("t", designs.pop(), 0, 1.0),
        ]
    }
    assert len(keys) == 5
    key = record_key("t", design, 0, 1.0)
    assert superseded_key(key) not in keys
    assert len(key) == len(superseded_key(key)) == len(design) == 24, "as stored tables have them"


def test_keys_are_those_that_stored_banks_have() -> None:
    design = design_key(SPACE, {"kind": "b", "x": 0.25})
    assert (design, record_key("t", design, 0, 1.0)) == (
        "f663684bebbfd8b85059c563",
        "e21ca99d8cb9ab6456b47250",
    )


def test_a_record_needs_a_configuration_and_a_value_alone() -> None:
    first, second = Record({"kind": "a"}, 0.5), Record({"kind": "a"}, None)
    assert (first.metrics, first.seed, first.fidelity, first.curve) == ({}, 0, FULL, {})
    assert math.isnan(first.seconds)
    assert (second.error, second.source, second.origin) == (None, "", "")
    assert first.metrics is not second.metrics
    assert BankTask("t", "f1").facts == {}
