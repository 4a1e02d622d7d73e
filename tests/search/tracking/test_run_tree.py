"""Parent and children in MLflow: every write can be repeated, whatever was interrupted."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bequest.search.tracking.run_tree import Child, Point, RunTree

WHEN = datetime(2026, 1, 2, 3, 4, 5)


@pytest.fixture
def uri(mlflow_home: Path) -> str:
    return f"sqlite:///{mlflow_home / 'mlflow.db'}"


def _tree(uri: str, key: str = "k") -> RunTree:
    tree = RunTree(uri, "bequest/toy", key, "study", "trial", "bequest.trial")
    tree.open_parent("name", {"a": "b"}, {"seed": 1}, {"identity.json": {"x": 1}})
    return tree


def _child(number: int, **changes: Any) -> Child:
    given: dict[str, Any] = {
        "number": number,
        "name": f"trial {number}",
        "status": "FINISHED",
        "started": WHEN,
        "finished": WHEN,
        "params": {"size": "3"},
        "points": [Point("objective", 0.5, WHEN)],
    }
    return Child(**{**given, **changes})


def _children(tree: RunTree) -> list[Any]:
    rule = "tags.`bequest.role` = 'trial'"
    return list(tree.client.search_runs([tree.experiment_id], rule))


def test_a_search_is_found_again_by_its_key(uri: str) -> None:
    first, again, other = _tree(uri), _tree(uri), _tree(uri, "other")
    assert first.parent_id == again.parent_id != other.parent_id
    run = first.client.get_run(first.parent_id)
    assert (run.data.tags["a"], run.data.params["seed"]) == ("b", "1")
    assert run.data.tags["bequest.study"] == "k"


def test_children_are_known_and_not_doubled(uri: str) -> None:
    _tree(uri).write_child(_child(0))
    assert _tree(uri).written == {0}
    (run,) = _children(_tree(uri))
    assert (run.data.params, run.data.metrics) == ({"size": "3"}, {"objective": 0.5})
    assert run.info.end_time == int(WHEN.timestamp() * 1000)


def test_an_interrupted_child_is_completed_not_doubled(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = _tree(uri)
    monkeypatch.setattr(tree.client, "set_terminated", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tree.write_child(_child(4))
    again = _tree(uri)
    assert again.written == set()
    again.write_child(_child(4))
    (run,) = _children(again)
    assert run.info.status == "FINISHED"


def test_a_failure_shows_its_reason(uri: str) -> None:
    tree = _tree(uri)
    tree.write_child(_child(0, status="FAILED", error="ValueError: no", tags={"bequest.slot": "7"}))
    (run,) = _children(tree)
    assert run.info.status == "FAILED"
    assert run.data.tags["mlflow.note.content"] == "ValueError: no"
    assert run.data.tags["bequest.slot"] == "7"


def test_epochs_are_written_once(uri: str) -> None:
    epochs = [{"epoch": number, "loss": 1 / number} for number in (1, 2, 3)]
    for count in (2, 2, 3):
        _tree(uri).write_epochs("done", epochs[:count], lambda epoch: {"loss": epoch["loss"]})
    tree = _tree(uri)
    history = tree.client.get_metric_history(tree.parent_id, "loss")
    assert [(p.step, p.value) for p in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
