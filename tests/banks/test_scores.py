"""The scores of a space as one matrix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest.banks.bank import Bank
from bequest.banks.record import BankTask, Record
from bequest.spaces import Condition, Config, Parameter, Space

SPACE = Space(
    "small",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat"])),
        Parameter("heads", IntDistribution(1, 4), Condition("layer", ("gat",))),
        Parameter("rate", FloatDistribution(0.0, 1.0)),
    ],
    default={"layer": "gcn", "rate": 0.5},
)
TASK = BankTask("photos", "accuracy", kind="node classification", facts={"nodes": 7})
GCN: Config = {"layer": "gcn", "rate": 0.25}
GAT: Config = {"layer": "gat", "heads": 2, "rate": 0.75}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


@pytest.fixture
def bank(url: str) -> Bank:
    return Bank(url)


def test_scores_are_means_over_seeds_and_higher_is_better(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5), Record(GCN, 0.7, seed=1), Record(GAT, 0.9)])
    loss = BankTask("prices", "error", "minimize")
    bank.append(loss, SPACE, [Record(GCN, 3.0), Record({**GCN, "rate": 0.5}, None, error="boom")])
    scores, overlaps = bank.scores(SPACE)
    assert [t.name for t in scores.tasks] == ["photos", "prices"]
    by_config = {json.dumps(c): scores.values[:, j] for j, c in enumerate(scores.configs)}
    assert by_config[json.dumps(GCN)] == pytest.approx([0.6, -3.0])
    assert by_config[json.dumps(GAT)] == pytest.approx([0.9, np.nan], nan_ok=True)
    failed = by_config[json.dumps({**GCN, "rate": 0.5})]
    assert failed == pytest.approx([np.nan, -3.0], nan_ok=True), "a failure counts as the worst"
    assert [str(o) for o in overlaps] == ["small: the same space"]


def test_part_trainings_are_no_scores(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5, fidelity=0.1)])
    assert bank.scores(SPACE)[0].tasks == ()


def test_leaving_a_task_out_leaves_out_what_was_bred_for_it(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5), Record(GAT, 0.6, origin="prices")])
    bank.append(BankTask("prices", "accuracy"), SPACE, [Record(GCN, 0.1)])
    left = bank.scores(SPACE)[0].without(["prices"])
    assert [t.name for t in left.tasks] == ["photos"]
    assert left.configs == (GCN,)


def test_a_mark_shows_the_bank_as_it_was(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5)])
    mark = bank.revision
    before = bank.scores(SPACE, until=mark)[0]
    bank.append(TASK, SPACE, [Record(GAT, 0.9), Record(GCN, 0.1, seed=1)])
    after = bank.scores(SPACE, until=mark)[0]
    assert after.configs == before.configs
    np.testing.assert_array_equal(after.values, before.values)


def test_another_space_changes_no_column_from_before(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5), Record(GAT, 0.9)])
    mark, before = bank.revision, bank.scores(SPACE)[0]
    widths = (Parameter("width", IntDistribution(1, most)) for most in range(2, 1000))
    spaces = (Space("wide", [*SPACE.parameters, width]) for width in widths)
    first = next(space for space in spaces if space.hash < SPACE.hash)
    records = [Record({**GAT, "width": 2}, 0.1), Record({**GCN, "rate": 0.125, "width": 2}, 0.2)]
    bank.append(BankTask("late", "accuracy"), first, records)
    for until in (mark, None):
        after = bank.scores(SPACE, until)[0]
        assert after.configs[:2] == before.configs == (GCN, GAT)
    assert len(after.configs) == 3


def test_leaving_out_nobody_changes_nothing(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5), Record(GAT, 0.6)])
    bank.append(BankTask("prices", "accuracy"), SPACE, [Record(GCN, 0.1)])
    scores = bank.scores(SPACE)[0]
    assert scores.without(["nobody"]) is scores
    left = scores.without(["photos"])
    assert [t.name for t in left.tasks] == ["prices"]
    assert left.configs == (GCN,), "what no task that is left has scored is gone"
    assert scores.only(["photos"]).values.tolist() == [[0.5, 0.6]]
