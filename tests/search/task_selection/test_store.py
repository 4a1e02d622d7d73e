"""The sources of a selection, in a study store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from bequest.common.errors import SelectionError
from bequest.search.execution.storage import open_storage
from bequest.search.studies.record import list_records
from bequest.search.task_selection.store import SelectionStore, Source

IDENTITY: dict[str, Any] = {
    "name": "line",
    "contexts": [[0.0], [0.5], [1.0]],
    "selector": "bequest",
    "seed": 0,
    "costs": None,
    "conditions": {},
}


def _sources() -> list[Source]:
    nan = float("nan")
    return [
        Source(1, np.array([0.25, 1.0, nan]), 0.625, nan, 1.5, 1_700_000_000.25, None, [1, 2]),
        Source(2, np.full(3, nan), 0.625, 0.125, 0.5, 1_700_000_001.0, "ValueError: no licence"),
    ]


@pytest.mark.parametrize("storage", [None, "memory", "sqlite"])
def test_sources_come_back_as_they_were(storage: str | None, tmp_path: Path) -> None:
    if storage == "sqlite":
        storage = f"sqlite:///{tmp_path}/s.db"
    store = SelectionStore("line", storage)
    assert store.open(IDENTITY) == IDENTITY
    for source in _sources():
        store.append(source)
    for stored, source in zip(store.sources(), _sources(), strict=True):
        assert np.array_equal(stored.row, source.row, equal_nan=True)
        for name in ("index", "value", "seconds", "finished", "error"):
            assert getattr(stored, name) == getattr(source, name)
        assert stored.expected_gain == pytest.approx(source.expected_gain, nan_ok=True)
        assert list(stored.together) == list(source.together)


def test_optuna_sees_a_study_whose_trials_are_the_sources(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    store = SelectionStore("line", url)
    store.open(IDENTITY)
    for source in _sources():
        store.append(source)
    study = optuna.load_study(study_name="selection:line", storage=open_storage(url))
    assert [t.params["context"] for t in study.trials] == [1, 2]
    assert [t.state.name for t in study.trials] == ["COMPLETE", "FAIL"]
    assert study.best_value == 0.625
    assert study.trials[0].duration.total_seconds() == pytest.approx(1.5)
    assert list_records(url) == []  # a selection is not listed among the studies


def test_a_folder_of_any_name_holds_a_store_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100%"
    for _ in range(2):
        store = SelectionStore("line", folder=folder)
        store.open(IDENTITY)
        store.append(_sources()[0])
    assert len(store.sources()) == 2
    assert (folder / "selection.db").exists()


@pytest.mark.parametrize("name", ["contexts", "selector", "seed", "costs", "conditions"])
def test_another_selection_of_the_name_is_refused(name: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    SelectionStore("line", url).open(IDENTITY)
    with pytest.raises(SelectionError, match=f"'line' was begun with other {name}"):
        SelectionStore("line", url).open({**IDENTITY, name: "another"})
