"""Banks and exports that released versions wrote: they open, go on and give the same values."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bequest.banks.bank import Bank
from bequest.banks.exchange import export_bank, import_bank
from bequest.banks.record import BankTask, Record
from bequest.banks.schema import SCHEMA_VERSION
from bequest.common.errors import BankError
from bequest.spaces import Space

ASSETS = Path(__file__).resolve().parents[1] / "assets"
VERSIONS = sorted(p.parent.name for p in ASSETS.glob("*/bank.db"))


@pytest.fixture(params=VERSIONS)
def folder(request: pytest.FixtureRequest) -> Path:
    """The files of one version."""
    return ASSETS / str(request.param)


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    """What that version itself read from its files."""
    content: dict[str, Any] = json.loads((folder / "bank_expected.json").read_text())
    return content


@pytest.fixture
def bank(folder: Path, tmp_path: Path) -> Bank:
    shutil.copy(folder / "bank.db", tmp_path / "bank.db")
    return Bank(f"sqlite:///{tmp_path / 'bank.db'}")


def rows_of(bank: Bank, task: str) -> list[list[Any]]:
    """A task's records as plain values, as the assets hold them."""
    return [
        [
            *(space.hash, r.config, r.value, r.metrics, r.seed, r.fidelity),
            None if math.isnan(r.seconds) else r.seconds,
            {str(step): value for step, value in r.curve.items()},
            *(r.error, r.source, r.origin),
        ]
        for space, r in bank.records(task)
    ]


def check_content(bank: Bank, expected: dict[str, Any]) -> None:
    tasks = [[t.name, t.metric, t.direction, t.kind, t.facts] for t in bank.tasks]
    assert tasks == expected["tasks"]
    assert bank.counts() == expected["counts"]
    for task in bank.tasks:
        assert sorted(map(str, rows_of(bank, task.name))) == sorted(
            map(str, expected["records"][task.name])
        )
    (space,) = bank.spaces()
    assert (space.to_json(), space.hash) == (expected["space"], expected["hash"])
    fingerprints = {task: v.tolist() for task, v in bank.fingerprints("statistics").items()}
    assert fingerprints == expected["fingerprints"]


def check_scores(bank: Bank, expected: dict[str, Any], which: str, until: int | None) -> None:
    scores, _ = bank.scores(Space.from_json(expected["space"]), until)
    assert list(scores.configs) == expected[f"configs{which}"]
    values = np.array(expected[f"scores{which}"], dtype=float)
    np.testing.assert_array_equal(scores.values, values)


def test_there_is_a_version_to_read() -> None:
    assert "0.1.0" in VERSIONS


def test_an_old_bank_reads_as_it_did(bank: Bank, expected: dict[str, Any]) -> None:
    check_content(bank, expected)
    check_scores(bank, expected, "", None)
    check_scores(bank, expected, "_before", expected["mark_before"])
    assert bank.identity == expected["identity"]
    assert bank.revision == expected["mark"]


def test_a_new_bank_has_the_tables_of_the_newest_old_one(bank: Bank) -> None:
    """Unless the schema's version says otherwise."""
    statement = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    tables = []
    for one in (bank, Bank("sqlite://")):
        with one.engine.connect() as connection:
            rows = connection.exec_driver_sql(statement).fetchall()
            tables.append({name: " ".join(sql.split()) for name, sql in rows})
    assert bank.note("schema") == str(SCHEMA_VERSION)
    assert tables[0] == tables[1]


def test_an_old_bank_takes_new_records(bank: Bank, expected: dict[str, Any]) -> None:
    space = Space.from_json(expected["space"])
    task = BankTask(*expected["tasks"][0])
    known = Record(**_fields(expected["records"][task.name][0]))
    added = [known, Record(known.config, 0.99, seed=7)]
    assert bank.append(task, space, added) == 1
    assert bank.revision == expected["mark"] + 1
    check_scores(bank, expected, "_before", expected["mark_before"])
    assert bank.counts()[task.name] == expected["counts"][task.name] + 1
    with pytest.raises(BankError, match="give the new task another name"):
        bank.append(BankTask(task.name, "f1"), space, added)


def _fields(row: list[Any]) -> dict[str, Any]:
    names = ("config", "value", "metrics", "seed", "fidelity")
    return dict(zip(names, row[1:6], strict=True))


def test_an_old_bank_exports_and_comes_back(
    bank: Bank, expected: dict[str, Any], tmp_path: Path
) -> None:
    assert export_bank(bank, tmp_path / "export") == expected["exported"]
    again = Bank("sqlite://")
    assert import_bank(again, tmp_path / "export") == expected["exported"]
    check_content(again, expected)


def test_an_old_export_is_imported(folder: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    bank = Bank(f"sqlite:///{tmp_path / 'new.db'}")
    assert import_bank(bank, folder / "bank_export") == expected["exported"]
    assert import_bank(bank, folder / "bank_export") == 0
    check_content(bank, expected)
