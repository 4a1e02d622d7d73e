"""Banks as files: they come back whole, and a bad file changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from optuna.distributions import FloatDistribution

from bequest.banks.bank import Bank
from bequest.banks.exchange import (
    export_bank,
    import_bank,
    import_graphgym,
    import_nas_bench_graph,
)
from bequest.banks.record import BankTask, Record
from bequest.common.errors import BankError
from bequest.evaluators.table import TableEvaluator
from bequest.spaces import Parameter, Space
from bequest.spaces.nas_bench_graph import NasBenchGraphSpace

SPACE = Space("line", [Parameter("x", FloatDistribution(0, 1))])


def make_bank(path: Path) -> Bank:
    bank = Bank(f"sqlite:///{path}")
    rows = [Record({"x": i / 10}, i / 10, {"test": 0.5}, seed=i, curve={1: 0.1}) for i in range(10)]
    bank.append(BankTask("a", "accuracy", facts={"nodes": 3}), SPACE, rows)
    failed = Record({"x": 0.5}, None, error="out of memory", origin="a")
    bank.append(BankTask("b", "loss", "minimize"), SPACE, [failed])
    bank.set_fingerprint("a", "fisher", [0.5, 1.5])
    return bank


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "exported"
    assert export_bank(make_bank(tmp_path / "bank.db"), place) == 11
    return place


@pytest.fixture
def target(tmp_path: Path) -> Bank:
    return Bank(f"sqlite:///{tmp_path / 'target.db'}")


def test_round_trip(folder: Path, target: Bank, tmp_path: Path) -> None:
    assert import_bank(target, folder) == 11
    assert import_bank(target, folder) == 0
    source = Bank(f"sqlite:///{tmp_path / 'bank.db'}")
    assert target.tasks == source.tasks
    for task in ("a", "b"):
        assert repr(list(target.records(task))) == repr(list(source.records(task)))
    assert target.fingerprints("fisher")["a"].tolist() == [0.5, 1.5]


def _cut(folder: Path) -> None:
    path = folder / "records.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def _drop(folder: Path) -> None:
    (folder / "designs.parquet").unlink()


def _other_version(folder: Path) -> None:
    document = json.loads((folder / "bank.json").read_text())
    (folder / "bank.json").write_text(json.dumps({**document, "format_version": 99}))


def _no_json(folder: Path) -> None:
    (folder / "bank.json").write_text("{")


def _unknown_column(folder: Path) -> None:
    path = folder / "records.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("colour", pa.array(["red"] * len(table))), path)


def _missing_column(folder: Path) -> None:
    path = folder / "records.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["value"]), path)


def _lost_design(folder: Path) -> None:
    path = folder / "designs.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


def _lost_task(folder: Path) -> None:
    """The fingerprint's task is gone: found out after the records went in."""
    rows = [{"task": "gone", "name": "fisher", "vector": [1.0]}]
    schema = pq.read_schema(folder / "fingerprints.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "fingerprints.parquet")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "records.parquet' is damaged"),
        (_drop, "designs.parquet is missing"),
        (_other_version, "format version 99, this Bequest reads 1"),
        (_no_json, "bank.json' is damaged"),
        (_unknown_column, "unknown columns colour"),
        (_missing_column, "lacks value"),
        (_lost_design, "is damaged"),
        (_lost_task, "unknown task in the bank 'gone'"),
    ],
)
def test_a_bad_file_is_named_and_changes_nothing(
    folder: Path, target: Bank, damage: Callable[[Path], None], message: str
) -> None:
    document = json.loads((folder / "bank.json").read_text())
    del document["digests"]  # as earlier versions wrote it: what is damaged is seen even so
    (folder / "bank.json").write_text(json.dumps(document))
    damage(folder)
    with pytest.raises(Exception, match=message) as caught:
        import_bank(target, folder)
    assert type(caught.value).__module__ == "bequest.common.errors"
    assert target.tasks == []
    assert target.spaces() == []


@pytest.mark.parametrize("at", ["tasks", "designs", "records", "fingerprints"])
def test_an_export_that_was_interrupted_is_no_bank(
    folder: Path, target: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """It would have new numbers in one table, and old ones in another."""
    bank = Bank(f"sqlite:///{tmp_path / 'bank.db'}")
    bank.append(BankTask("0", "accuracy"), SPACE, [Record({"x": 0.75}, 0.75)])
    write = pq.write_table

    def killed(table: pa.Table, path: Path, **options: Any) -> None:
        if path.stem == at:
            raise KeyboardInterrupt
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        export_bank(bank, folder)
    with pytest.raises(BankError, match="holds no bank"):
        import_bank(target, folder)
    monkeypatch.setattr(pq, "write_table", write)
    assert export_bank(bank, folder) == import_bank(target, folder) == 12


def test_a_table_of_another_export_is_refused(folder: Path, target: Bank, tmp_path: Path) -> None:
    other = tmp_path / "other"
    export_bank(target, other)
    (other / "records.parquet").replace(folder / "records.parquet")
    with pytest.raises(BankError, match=r"records.parquet. was not exported with the others"):
        import_bank(target, folder)
    assert target.tasks == []


def test_a_file_is_no_folder(folder: Path, target: Bank) -> None:
    with pytest.raises(BankError, match=r"is no folder.*--format"):
        import_bank(target, folder / "records.parquet")
    with pytest.raises(BankError, match=r"cannot write a bank to .*: give a folder"):
        export_bank(target, folder / "records.parquet")


def test_no_bank_there(target: Bank, tmp_path: Path) -> None:
    with pytest.raises(BankError, match="holds no bank"):
        import_bank(target, tmp_path)


# Published tables ---------------------------------------------------------------------------------


def test_graphgym(data_root: Path, target: Bank) -> None:
    path = data_root / "gnn_bank" / "graphgym.parquet"
    assert import_graphgym(target, path) == 32 * 96
    assert import_graphgym(target, path) == 0
    evaluator = TableEvaluator.graphgym(path, "PyG/Cora/node/trans/-/-")
    records = list(target.records("graphgym-PyG/Cora/node/trans/-/-"))
    assert len(records) == 96
    assert all(evaluator(r.config).value == r.value for _, r in records)


def test_nas_bench_graph(data_root: Path, target: Bank) -> None:
    path = data_root / "gnn_bank" / "nas_bench_graph.parquet"
    assert import_nas_bench_graph(target, path) == 6 * 26206 + 2021
    scores, _ = target.scores(NasBenchGraphSpace())
    assert scores.values.shape == (7, 26206)
    evaluator = TableEvaluator.nas_bench_graph(path, "cs")
    row = [t.name for t in scores.tasks].index("nas-bench-graph-cs")
    for j in (0, 9999, 26205):
        assert evaluator(scores.configs[j]).value == scores.values[row, j]
    table = pd.read_parquet(path)
    published = table[table["dataset"] == "cs"].iloc[0]
    record = next(r for _, r in target.records("nas-bench-graph-cs"))
    assert (record.value, record.source) == (published["val_metric"], "NAS-Bench-Graph")
    assert record.metrics["parameters"] == pytest.approx(published["params"] * 1e6)
    assert record.metrics["test_accuracy"] == published["test_metric"]


def test_a_wrong_table(target: Bank, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for wrong in (path, tmp_path):
        with pytest.raises(BankError, match="give the path of the Parquet"):
            import_graphgym(target, wrong)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(BankError, match="lacks task_id"):
        import_graphgym(target, path)
