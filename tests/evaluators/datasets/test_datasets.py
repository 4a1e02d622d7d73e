"""Tasks by name: what is listed loads, is the same everywhere, and leaves data roots alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric import datasets

from bequest import load_task
from bequest.common.errors import DataError, UnknownNameError
from bequest.evaluators.datasets import list_tasks

BUILT_IN = [entry for entry in list_tasks() if entry.offline]


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the network."""

    def refuse(*args: Any, **options: Any) -> None:
        raise OSError("no network")

    for module in ("planetoid", "webkb", "airports", "tu_dataset"):
        place = sys.modules[f"torch_geometric.datasets.{module}"]
        for name in ("download_url", "download_google_url"):
            monkeypatch.setattr(place, name, refuse, raising=False)
    monkeypatch.setattr("torch_geometric.io.fs.cp", refuse)


def _tensors(task: Any) -> list[torch.Tensor]:
    if task.kind == "image classification":
        return [tensor for part in task.parts(0).values() for tensor in (part.x, part.y)]
    graphs = getattr(task, "graphs", None) or [task.data]
    found = [tensor for graph in graphs for tensor in (graph.x, graph.edge_index)]
    return [*found, task.labels]


def test_listing_is_light() -> None:
    code = (
        "import sys; from bequest.evaluators.datasets import list_tasks; list_tasks();"
        "print([m for m in ('torch', 'sklearn', 'torch_geometric') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry.name)
def test_built_in_tasks_load_alike_whatever_was_drawn_before(entry: Any) -> None:
    before = torch.get_rng_state()
    task = load_task(entry.name)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again = load_task(entry.name)
    assert (task.name, task.kind) == (entry.name, entry.kind)
    for one, other in zip(_tensors(task), _tensors(again), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "low", "high"), [("homo", 0.4, 1.0), ("hetero", 0.0, 0.15)])
def test_block_models_are_what_their_names_say(name: str, low: float, high: float) -> None:
    task: Any = load_task(f"sbm-{name}philous")
    ends = task.labels[task.data.edge_index]
    assert low < float((ends[0] == ends[1]).float().mean()) < high


def test_links_on_a_node_task() -> None:
    task = load_task("wine-knn-links")
    assert (task.name, task.kind, task.metric) == ("wine-knn-links", "link prediction", "roc_auc")


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'coar': did you mean 'cora'"):
        load_task("coar")
    with pytest.raises(UnknownNameError, match="unknown task 'coar-links'"):
        load_task("coar-links")
    with pytest.raises(DataError, match="'mutag' is a set of graphs"):
        load_task("mutag-links")


def test_missing_data_names_task_folders_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path / "variable"))
    with pytest.raises(DataError) as caught:
        load_task("texas", tmp_path / "argument")
    for word in ("'texas'", "argument", "variable", "datasets", "--data-root", "webkb/texas"):
        assert word in str(caught.value)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ogb", None)
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", None)
    with pytest.raises(DataError, match=r"pip install ogb"):
        load_task("ogbn-arxiv")


# A tiny set of graphs in TU Dortmund's format -----------------------------------------------------


@pytest.fixture
def tiny_root(tmp_path: Path) -> Path:
    """A read-only data root with a set of twelve triangles."""
    raw = tmp_path / "root" / "datasets" / "tu" / "TINY" / "raw"
    raw.mkdir(parents=True)
    edges = [(3 * g + i + 1, 3 * g + (i + 1) % 3 + 1) for g in range(12) for i in range(3)]
    lines = {
        "A": [f"{a}, {b}" for a, b in edges] + [f"{b}, {a}" for a, b in edges],
        "graph_indicator": [str(node // 3 + 1) for node in range(36)],
        "graph_labels": [str(g % 2) for g in range(12)],
        "node_labels": [str(node % 2) for node in range(36)],
    }
    for name, content in lines.items():
        (raw / f"TINY_{name}.txt").write_text("\n".join(content) + "\n")
    for path in [*raw.iterdir(), raw, raw.parent]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return tmp_path / "root"


@pytest.mark.parametrize("depth", ["", "datasets"])
def test_a_read_only_root_is_read_and_not_written(
    tiny_root: Path, depth: str, bequest_home: Path
) -> None:
    before = sorted(tiny_root.rglob("*"))
    task: Any = load_task("tu:TINY", tiny_root / depth)
    assert len(task.graphs) == 12
    assert sorted(tiny_root.rglob("*")) == before
    assert list((bequest_home / "datasets" / "tu").glob("pyg-*/TINY/processed/*.pt"))


def test_the_environment_names_a_root(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEQUEST_DATA", str(tiny_root))
    assert load_task("tu:TINY").describe()["graphs"] == 12


def test_what_a_killed_process_left_is_made_again(tiny_root: Path, bequest_home: Path) -> None:
    load_task("tu:TINY", tiny_root)
    for path in (bequest_home / "datasets").rglob("*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match=r"'tu:TINY' cannot be read \(.*\): it is made anew"):
        again = load_task("tu:TINY", tiny_root)
    assert again.describe()["graphs"] == 12


def test_a_root_that_moved_is_found_again(tiny_root: Path, tmp_path: Path) -> None:
    load_task("tu:TINY", tiny_root)
    moved = tmp_path / "moved"
    shutil.copytree(tiny_root, moved)
    for path in tiny_root.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(tiny_root)
    assert load_task("tu:TINY", moved).describe()["graphs"] == 12


def test_two_processes_load_for_the_first_time(tiny_root: Path, bequest_home: Path) -> None:
    code = "from bequest import load_task; print(load_task('tu:TINY').describe()['graphs'])"
    env = {**os.environ, "BEQUEST_DATA": str(tiny_root), "BEQUEST_HOME": str(bequest_home)}
    command = [sys.executable, "-c", code]
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.communicate()[0].strip()[-2:] for process in running] == ["12", "12"]


# Real data ----------------------------------------------------------------------------------------


def test_cora_is_the_public_one(data_root: Path) -> None:
    task: Any = load_task("cora", data_root)
    split = task.split(0)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [140, 500, 1000]
    assert (task.data.num_nodes, task.data.num_edges, task.features) == (2708, 10556, 1433)
    sums = task.data.x.sum(1)
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("texas", {"nodes": 183, "classes": 5, "split": "public, number seed mod 10"}),
        ("chameleon", {"nodes": 2277, "features": 2325}),
        ("airports-brazil", {"nodes": 131, "classes": 4}),
        ("mutag", {"graphs": 188, "features": 7}),
        ("ptc-mr", {"graphs": 344, "features": 18}),
        ("imdb-binary", {"graphs": 1000, "features": 65}),
        ("amazon-photo", {"nodes": 7650, "classes": 8}),
    ],
)
def test_public_tasks_load(name: str, facts: dict[str, Any], data_root: Path) -> None:
    described = load_task(name, data_root).describe()
    assert {key: described[key] for key in facts} == facts


def test_every_loader_exists() -> None:
    for entry in list_tasks():
        if entry.loader == ".public:load":
            assert hasattr(datasets, entry.arguments[0])
