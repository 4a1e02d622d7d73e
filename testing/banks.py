"""What every bank must do: a test of yours subclasses `BankConformance` and gives it a bank.

Example:
    >>> class TestMine(BankConformance):
    ...     @pytest.fixture
    ...     def bank(self):
    ...         return Bank("postgresql+psycopg://host/name")
"""

from __future__ import annotations

import math
import uuid
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ..banks.bank import Bank
from ..banks.exchange import export_bank, import_bank
from ..banks.record import BankTask, Record
from ..common.errors import BankError, ConfigurationError, UnknownNameError
from ..spaces import Condition, Config, Parameter, Space

SPACE = Space(
    "conformance",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat"])),
        Parameter("heads", IntDistribution(1, 4), Condition("layer", ("gat",))),
        Parameter("rate", FloatDistribution(0.0, 1.0)),
    ],
    default={"layer": "gcn", "rate": 0.5},
)
GCN: Config = {"layer": "gcn", "rate": 0.25}
GAT: Config = {"layer": "gat", "heads": 2, "rate": 0.75}


def new_task(metric: str = "accuracy", direction: str = "maximize") -> BankTask:
    """A task that no bank holds yet."""
    return BankTask(f"conformance-{uuid.uuid4().hex[:12]}", metric, direction, facts={"nodes": 7})


class BankConformance:
    """Subclass it and override `bank`; the bank may hold other tasks."""

    @pytest.fixture
    def bank(self) -> Bank:
        """The bank under test."""
        raise NotImplementedError

    def test_a_record_comes_back_as_it_was(self, bank: Bank) -> None:
        task = new_task()
        record = Record(
            GAT,
            0.8,
            {"test_accuracy": 0.7},
            seed=2**32 - 1,
            fidelity=0.5,
            seconds=1.5,
            curve={1: 0.4, 9: 0.8},
            source="here",
            origin="cora",
        )
        assert bank.append(task, SPACE, [record]) == 1
        assert list(bank.records(task.name)) == [(SPACE, record)]
        assert task in bank.tasks
        assert bank.counts()[task.name] == 1
        assert SPACE.hash in {space.hash for space in bank.spaces()}

    def test_the_same_evaluation_is_stored_once(self, bank: Bank) -> None:
        task = new_task()
        assert bank.append(task, SPACE, [Record(GCN, 0.5), Record(GAT, 0.6)]) == 2
        assert bank.append(task, SPACE, [Record(GCN, 0.9), Record(GCN, 0.4, seed=1)]) == 1
        assert [r.value for _, r in bank.records(task.name)] == [0.5, 0.6, 0.4]

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (Record({"layer": "gin", "rate": 0.5}, 0.5), ConfigurationError),
            (Record(GAT, math.nan), BankError),
            (Record(GAT, 0.5, {"loss": math.inf}), BankError),
            (Record(GAT, 0.5, fidelity=0.0), BankError),
            (Record(GAT, 0.5, fidelity=1.1), BankError),
        ],
    )
    def test_an_append_is_whole_or_not_at_all(
        self, bank: Bank, bad: Record, error: type[Exception]
    ) -> None:
        task = new_task()
        with pytest.raises(error):
            bank.append(task, SPACE, [Record(GCN, 0.5), bad])
        assert task.name not in bank.counts()

    def test_a_task_stays_with_its_metric_and_direction(self, bank: Bank) -> None:
        task = new_task()
        bank.append(task, SPACE, [Record(GCN, 0.5)])
        for other in (BankTask(task.name, "f1"), BankTask(task.name, "accuracy", "minimize")):
            with pytest.raises(BankError, match="give the new task another name"):
                bank.append(other, SPACE, [Record(GAT, 0.5)])

    def test_scores_are_means_over_seeds_higher_is_better_and_failures_worst(
        self, bank: Bank
    ) -> None:
        task, loss = new_task(), new_task("error", "minimize")
        bank.append(task, SPACE, [Record(GCN, 0.5), Record(GCN, 0.7, seed=1)])
        bank.append(task, SPACE, [Record(GAT, 0.1, fidelity=0.2)])
        bank.append(loss, SPACE, [Record(GCN, 3.0), Record(GAT, None, error="boom")])
        scores = bank.scores(SPACE)[0].only([task.name, loss.name])
        column = {str(c): j for j, c in enumerate(scores.configs)}
        row = {t.name: i for i, t in enumerate(scores.tasks)}
        values = scores.values[:, [column[str(GCN)], column[str(GAT)]]]
        assert values[row[task.name]] == pytest.approx([0.6, np.nan], nan_ok=True)
        assert values[row[loss.name]] == pytest.approx([-3.0, -3.0])

    def test_a_revision_shows_the_bank_as_it_was(self, bank: Bank) -> None:
        task = new_task()
        bank.append(task, SPACE, [Record(GCN, 0.5), Record(GAT, None, error="boom")])
        revision = bank.revision
        assert bank.append(task, SPACE, [Record(GAT, 0.9), Record(GCN, 0.1, seed=1)]) == 2
        assert bank.revision > revision
        before, now = (bank.scores(SPACE, until)[0].only([task.name]) for until in (revision, None))
        assert sorted(before.values[0]) == [0.5, 0.5]
        assert sorted(now.values[0]) == pytest.approx([0.3, 0.9])
        assert [r.value for _, r in bank.records(task.name, until=revision)] == [0.5, None]
        assert [r.value for _, r in bank.records(task.name)] == [0.5, 0.9, 0.1]

    def test_fingerprints_and_notes_are_replaced(self, bank: Bank) -> None:
        task = new_task()
        kind, note = f"kind-{task.name}", f"note-{task.name}"[:40]
        bank.append(task, SPACE, [Record(GCN, 0.5)])
        for vector in ([1.0, 2.0], [3.0, 4.0]):
            bank.set_fingerprint(task.name, kind, vector)
            bank.set_note(note, str(vector))
        assert {k: v.tolist() for k, v in bank.fingerprints(kind).items()} == {task.name: [3, 4]}
        assert kind in bank.fingerprint_names()
        assert bank.note(note) == "[3.0, 4.0]"
        with pytest.raises(UnknownNameError):
            bank.set_fingerprint(f"{task.name}?", kind, [1.0])
        with pytest.raises(UnknownNameError):
            list(bank.records(f"{task.name}?"))

    def test_an_identity_is_given_once(self, bank: Bank) -> None:
        assert bank.identity == bank.identity
        assert bank.identity != Bank("sqlite://").identity

    def test_it_comes_back_from_an_export(self, bank: Bank, tmp_path: Path) -> None:
        task = new_task()
        bank.append(task, SPACE, [Record(GCN, 0.5, curve={1: 0.25}), Record(GAT, None, error="x")])
        bank.set_fingerprint(task.name, "vector", [1.0])
        export_bank(bank, tmp_path / "export")
        again = Bank("sqlite://")
        import_bank(again, tmp_path / "export")
        assert [str(r) for _, r in again.records(task.name)] == [
            str(r) for _, r in bank.records(task.name)
        ]
        assert again.fingerprints("vector")[task.name].tolist() == [1.0]
        assert import_bank(again, tmp_path / "export") == 0
