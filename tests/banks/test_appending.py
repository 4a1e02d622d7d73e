"""Appends: safe with many writers, a value replaces a failure."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

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
GCN: Config = {"layer": "gcn", "rate": 0.25}
GAT: Config = {"layer": "gat", "heads": 2, "rate": 0.75}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


@pytest.fixture
def bank(url: str) -> Bank:
    return Bank(url)


def _append_fifty(url: str, number: int) -> int:
    bank = Bank(url)
    return sum(
        bank.append(
            BankTask(f"task{number % 3}", "accuracy"),
            SPACE,
            [Record({"layer": "gcn", "rate": (number * 50 + i) / 400}, 0.5)],
        )
        for i in range(50)
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, url: str) -> str:
    """A bank's URL, on SQLite and on PostgreSQL, where it holds what other tests have left."""
    return url if request.param == "sqlite" else str(request.getfixturevalue("postgresql"))


def test_eight_processes_append_at_once(server: str) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(8) as pool:
        added = pool.starmap(_append_fifty, [(server, i) for i in range(8)])
    bank = Bank(server)
    assert sum(added) == 400
    assert bank.counts() == {"task0": 150, "task1": 150, "task2": 100}
    assert (
        bank.append(BankTask("task0", "accuracy"), SPACE, [Record({**GCN, "rate": 0.0}, 0.5)]) == 0
    )
    assert bank.scores(SPACE)[0].values.shape == (3, 400)


def test_a_mark_still_shows_a_failure_whose_place_a_value_has_taken(server: str) -> None:
    bank = Bank(server)
    task = BankTask("mended", "accuracy")
    bank.append(task, SPACE, [Record(GCN, 0.5), Record(GAT, None, error="boom")])
    mark = bank.revision
    assert bank.append(task, SPACE, [Record(GAT, 0.9)]) == 1
    for asked in (bank, Bank(server)):
        before, now = (asked.scores(SPACE, until)[0].only(["mended"]) for until in (mark, None))
        assert before.values.tolist() == [[0.5, 0.5]], "a failure counts as the worst"
        assert now.values.tolist() == [[0.5, 0.9]]
        assert [r.value for _, r in asked.records("mended", until=mark)] == [0.5, None]
        assert [r.value for _, r in asked.records("mended")] == [0.5, 0.9]
        assert asked.counts()["mended"] == 2
    assert bank.append(task, SPACE, [Record(GAT, None), Record(GAT, 0.8)]) == 0
