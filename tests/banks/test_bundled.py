"""The bank that ships with the package: whole, small, and in the home bank from the start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bequest.banks.bank import Bank
from bequest.banks.bundled import FOLDERS, GRAPHS, import_bundled
from bequest.common.errors import BankError
from bequest.evaluators.graph.evaluator import STATISTICS
from bequest.evaluators.peft.space import peft_space, usual_methods
from bequest.evaluators.text.evaluator import STATISTICS as TEXT_STATISTICS
from bequest.search.transfer.sources import open_bank
from bequest.spaces.gnn import gnn_space

TEXT = "text classification"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    bank = Bank(f"sqlite:///{tmp_path_factory.mktemp('bundled') / 'bank.db'}")
    assert import_bundled(bank) > 0
    return bank


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for folder in FOLDERS for path in folder.glob("*")) < 5_000_000


def test_it_is_imported_once(bank: Bank) -> None:
    assert import_bundled(bank) == 0


def test_graphs_are_scored_on_the_same_designs(bank: Bank) -> None:
    tasks = [task.name for task in bank.tasks if task.kind != TEXT]
    assert len(tasks) >= 20
    scores, _ = bank.scores(gnn_space("node"))
    scored = [task.name for task in scores.tasks]
    assert scored == tasks, "designs for graphs are read without their pooling"
    shared = (~np.isnan(scores.values)).all(axis=0).sum()
    assert shared >= 50


def test_texts_are_scored_on_the_same_configurations(bank: Bank) -> None:
    scores, _ = bank.scores(peft_space())
    assert len(scores.tasks) >= 8
    assert {task.kind for task in scores.tasks} == {TEXT}
    assert all(t.facts["conditions"] == {"examples": 500} for t in scores.tasks)
    there = ~np.isnan(scores.values)
    assert there.sum(axis=1).min() >= 36, "some of 40 trainings may fail"
    assert there.all(axis=0).sum() >= 30
    methods = {config["method"] for config in scores.configs}
    assert methods == set(usual_methods())


@pytest.mark.parametrize("task", ["cora", "trec6 (examples 500)"])
def test_its_records_are_whole(bank: Bank, task: str) -> None:
    for _, record in bank.records(task):
        assert record.seconds > 0
        assert record.curve
        if record.value is not None:
            assert 0 <= record.metrics["test_accuracy"] <= 1
            assert record.metrics["validation_accuracy"] == pytest.approx(record.value, abs=1e-4)


def test_its_tasks_have_fingerprints(bank: Bank) -> None:
    graphs, texts = (bank.fingerprints(kind) for kind in (STATISTICS, TEXT_STATISTICS))
    assert graphs.keys() | texts.keys() == bank.counts().keys()
    assert not graphs.keys() & texts.keys()
    for vectors in (graphs, texts):
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


def test_a_limited_space_and_a_smaller_backbone_read_it(bank: Bank) -> None:
    few = peft_space(6, ["probe", "lora", "lst"])
    scores, overlaps = bank.scores(few)
    assert len(scores.tasks) >= 8
    assert {config["method"] for config in scores.configs} == {"probe", "lora", "lst"}
    assert any(overlap.refused is None for overlap in overlaps)


def test_a_damaged_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in GRAPHS.iterdir():
        if path.suffix in (".json", ".parquet"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "records.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr("bequest.banks.bundled.FOLDERS", (tmp_path,))
    with pytest.raises(BankError, match="is damaged"):
        import_bundled(Bank(f"sqlite:///{tmp_path / 'bank.db'}"))
