"""The bank: what goes in comes out once, whole, and as the space asks."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest.banks.bank import Bank
from bequest.banks.overlap import Overlap
from bequest.banks.record import BankTask, Record
from bequest.common.errors import BankError, UnknownNameError
from bequest.evaluators.peft.space import peft_space
from bequest.spaces import Condition, Config, Parameter, Space
from bequest.spaces.gnn import gnn_space
from bequest.testing.banks import BankConformance

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


class TestOnDisk(BankConformance):
    @pytest.fixture
    def bank(self, url: str) -> Bank:
        return Bank(url)


class TestInMemory(BankConformance):
    @pytest.fixture
    def bank(self) -> Bank:
        return Bank("sqlite://")


class TestOnPostgreSQL(BankConformance):
    @pytest.fixture
    def bank(self, database: str) -> Bank:
        return Bank(database)

    @pytest.fixture(scope="class")
    def database(self, postgresql: str) -> str:
        """A database of its own: other tests count what is in theirs."""
        engine = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE conformance")
        return postgresql.removesuffix("/postgres") + "/conformance"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


@pytest.fixture
def bank(url: str) -> Bank:
    return Bank(url)


def test_the_old_name_of_a_revision_warns(bank: Bank) -> None:
    bank.append(TASK, SPACE, [Record(GCN, 0.5)])
    with pytest.warns(DeprecationWarning, match="is called Bank.revision now"):
        assert bank.mark == bank.revision == 1


def test_a_direction_is_one_of_two() -> None:
    with pytest.raises(UnknownNameError, match="'max': known are maximize, minimize"):
        BankTask("photos", "accuracy", "max")


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


def test_a_killed_append_loses_and_doubles_nothing(url: str, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_bank import *
bank = Bank({url!r})
for part in range(1000):
    rows = [Record({{"layer": "gcn", "rate": (part * 20 + i) / 20000}}, 0.5) for i in range(20)]
    bank.append(TASK, SPACE, rows)
    print(part, flush=True)
"""
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        said = [0, *map(int, process.stdout.read().split())]
        process.wait()
        count = Bank(url).counts()["photos"]
        assert count % 20 == 0, "an append is there whole or not at all"
        assert count >= 20 * (1 + max(said)), "what was said to be there is there"
        rates = [record.config["rate"] for _, record in Bank(url).records("photos")]
        assert len(set(rates)) == len(rates) == count


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


def test_a_bank_of_the_first_version_is_taken_over(server: str) -> None:
    bank = Bank(server)
    task = BankTask("old", "accuracy")
    bank.append(task, SPACE, [Record(GCN, 0.5), Record(GAT, None, error="boom")])
    mark, before = bank.revision, bank.scores(SPACE)[0].only(["old"])
    with bank.engine.begin() as connection:
        execute = connection.exec_driver_sql
        execute("ALTER TABLE bank_records DROP COLUMN superseded_by")
        if server.startswith("postgresql"):
            execute("ALTER TABLE bank_records ALTER COLUMN seed TYPE INTEGER")
        execute("UPDATE bank_meta SET value = '1' WHERE name = 'schema'")
        execute("UPDATE bank_tasks SET direction = 'max' WHERE name = 'old'")
    bank = Bank(server)
    assert bank.append(task, SPACE, [Record(GAT, 0.9), Record(GCN, 0.7, seed=2**32 - 1)]) == 2
    after = bank.scores(SPACE, until=mark)[0].only(["old"])
    np.testing.assert_array_equal(after.values, before.values)
    assert Bank(server).note("schema") == "2"


def test_a_bank_of_a_later_version_is_refused(bank: Bank, url: str) -> None:
    bank.set_note("schema", "99")
    with pytest.raises(BankError, match="has schema version 99, this Bequest reads 2"):
        Bank(url)


def test_what_cannot_be_opened_says_so() -> None:
    with pytest.raises(BankError, match="cannot open the bank at sqlite:////nowhere/bank.db"):
        Bank("sqlite:////nowhere/bank.db")


def test_a_bank_that_is_damaged_in_the_middle_says_so(bank: Bank, url: str) -> None:
    rates = [{"layer": "gcn", "rate": i / 2000} for i in range(2000)]
    bank.append(TASK, SPACE, [Record(config, 0.5) for config in rates])
    with bank.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    bank.engine.dispose()
    path = Path(url.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[20_000:-20_000] = bytes(0xA5 for _ in content[20_000:-20_000])
    path.write_bytes(content)
    damaged = Bank(url)
    for use in (damaged.counts, lambda: damaged.scores(SPACE), lambda: list(damaged.records("x"))):
        with pytest.raises(BankError, match=r"cannot be used \(.*malformed.*\): try again"):
            use()


# Spaces that overlap in part ----------------------------------------------------------------------


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


def test_a_bank_in_memory_answers_all_that_one_on_disk_does() -> None:
    bank = Bank("sqlite://")
    bank.append(TASK, SPACE, [Record(GCN, 0.5), Record(GAT, 0.75)])
    scores, _ = bank.scores(SPACE)
    assert scores.values.tolist() == [[0.5, 0.75]]
    with pytest.raises(UnknownNameError, match="photos"):
        list(bank.records("fotos"))
