"""The bank that ships with the package: whole, small, and in the home bank from the start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bequest.banks.bank import Bank
from bequest.banks.bundled import FOLDERS, GRAPHS, import_bundled
from bequest.errors import BankError
from bequest.evaluators.graph.evaluator import STATISTICS
from bequest.search.heritage import open_bank
from bequest.spaces.gnn import gnn_space


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    bank = Bank(f"sqlite:///{tmp_path_factory.mktemp('bundled') / 'bank.db'}")
    assert import_bundled(bank) > 0
    return bank


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for folder in FOLDERS for path in folder.glob("*")) < 5_000_000


def test_it_is_imported_once(bank: Bank) -> None:
    assert import_bundled(bank) == 0


def test_its_tasks_are_scored_on_the_same_designs(bank: Bank) -> None:
    counts = bank.counts()
    assert len(counts) >= 20
    scores, _ = bank.scores(gnn_space("node"))
    assert len(scores.tasks) == len(counts), "designs for graphs are read without their pooling"
    shared = (~np.isnan(scores.values)).all(axis=0).sum()
    assert shared >= 50


def test_its_records_are_whole(bank: Bank) -> None:
    for _, record in bank.records("cora"):
        assert record.seconds > 0
        assert record.curve
        if record.value is not None:
            assert 0 <= record.metrics["test_accuracy"] <= 1
            assert record.metrics["validation_accuracy"] == pytest.approx(record.value, abs=1e-4)


def test_its_tasks_have_fingerprints(bank: Bank) -> None:
    vectors = bank.fingerprints(STATISTICS)
    assert vectors.keys() == bank.counts().keys()
    assert len({len(vector) for vector in vectors.values()}) == 1


def test_what_was_bred_for_a_task_goes_with_it(bank: Bank) -> None:
    scores, _ = bank.scores(gnn_space("node"))
    left = scores.without(["cora"])
    assert "cora" not in [t.name for t in left.tasks]
    assert "cora" not in left.origins


def test_the_home_bank_has_it(bequest_home: Path) -> None:
    bank = open_bank(None)
    assert bank is not None
    assert "cora" in bank.counts()


def test_a_damaged_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in GRAPHS.iterdir():
        if path.suffix in (".json", ".parquet"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "records.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr("bequest.banks.bundled.FOLDERS", (tmp_path,))
    with pytest.raises(BankError, match="is damaged"):
        import_bundled(Bank(f"sqlite:///{tmp_path / 'bank.db'}"))
