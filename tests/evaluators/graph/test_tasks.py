"""Tasks on graphs: what is refused and how, and what a split promises."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

from bequest import GraphClassification, LinkPrediction, NodeClassification
from bequest.errors import DataError
from bequest.evaluators.graph.tasks import one_hot_degrees
from bequest.evaluators.seeding import seeded
from bequest.evaluators.splits import stratified_split


def _masks(*ranges: tuple[int, int], nodes: int = 60) -> dict[str, torch.Tensor]:
    place = torch.arange(nodes)
    names = ("train_mask", "val_mask", "test_mask")
    pairs = zip(names, ranges, strict=True)
    return {name: (place >= low) & (place < high) for name, (low, high) in pairs}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, "has no class for each node: set data.y"),
        ({"y": torch.zeros(59)}, "has no class for each node"),
        ({"y": torch.zeros(60)}, "one class only"),
        ({"y": torch.arange(60) - 1}, "the label -1: number classes from 0"),
        ({"y": torch.arange(60) / 7}, "no whole numbers: is it a regression"),
        ({"x": None}, "no node features: set data.x, for example to torch.eye"),
        ({"x": torch.ones(60)}, r"node features of shape \[60\]"),
        ({"x": torch.full((60, 2), torch.nan)}, "NaN or infinite features"),
        ({"edge_index": None}, "no edges: set data.edge_index"),
        ({"edge_index": torch.tensor([[0, 60], [1, 2]])}, "an edge to node 60, but .* 60 nodes"),
        ({"edge_index": torch.tensor([[0, -1], [1, 2]])}, "an edge to node -1"),
        (_masks((0, 9), (9, 19), (19, 59), nodes=59), r"train_mask of shape \[59\] for 60 nodes"),
        (_masks((0, 20), (20, 20), (20, 60)), "empty val_mask: mark some nodes"),
        (_masks((0, 20), (19, 40), (40, 60)), "nodes in two of train_mask, val_mask and test_mask"),
    ],
)
def test_unfit_data_is_refused(graph: Data, changes: dict[str, Any], message: str) -> None:
    for name, value in changes.items():
        graph[name] = value
    with pytest.raises(DataError, match=message):
        NodeClassification(graph, name="mine")


def test_unfit_graphs_are_refused(graphs: list[Data]) -> None:
    with pytest.raises(DataError, match="has 9 graphs: at least 10"):
        GraphClassification(graphs[:9], name="mine")
    with pytest.raises(DataError, match="without one class: set graph.y"):
        GraphClassification([*graphs, Data(x=torch.ones(2, 5))], name="mine")
    graphs[3].x = graphs[3].x[:, :4]
    with pytest.raises(DataError, match="graphs of 4 and of 5 features a node"):
        GraphClassification(graphs, name="mine")


def test_too_few_links_are_refused() -> None:
    data = Data(x=torch.eye(9), edge_index=torch.tensor([[0, 1, 5], [1, 0, 5]]))
    with pytest.raises(DataError, match="has 1 links: at least 20"):
        LinkPrediction(data, name="mine")


def test_something_else_than_a_graph_is_refused() -> None:
    with pytest.raises(DataError, match=r"got a list: give a torch_geometric.data.Data"):
        NodeClassification([1, 2], name="mine")  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 4), min_size=20, max_size=80), st.integers(0, 999))
def test_stratified_splits_part_the_nodes(labels: list[int], seed: int) -> None:
    y = torch.tensor(labels)
    split = stratified_split(y, seed)
    parts = (split.train, split.validation, split.test)
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(y)))
    assert len(split.train) == pytest.approx(0.6 * len(y), abs=1)
    assert all(torch.equal(*pair) for pair in zip(parts, _parts(y, seed), strict=True))
    for label in torch.unique(y):
        count = int((y == label).sum())
        if count >= 10:
            assert int((y[split.train] == label).sum()) == pytest.approx(0.6 * count, abs=2)


def _parts(y: torch.Tensor, seed: int) -> tuple[torch.Tensor, ...]:
    split = stratified_split(y, seed)
    return split.train, split.validation, split.test


def test_a_public_split_is_used(graph: Data) -> None:
    graph.update(_masks((0, 20), (20, 30), (30, 60)))
    task = NodeClassification(graph, name="mine")
    for seed in (0, 7):
        assert torch.equal(task.split(seed).validation, torch.arange(20, 30))
    assert task.describe()["split"] == "public"


def test_of_ten_public_splits_the_seed_picks_one(graph: Data) -> None:
    place = (torch.arange(60).view(-1, 1) + torch.arange(10)) % 60
    graph.train_mask, graph.val_mask = place < 30, (place >= 30) & (place < 40)
    graph.test_mask = place >= 40
    task = NodeClassification(graph, name="mine")
    assert task.describe()["split"] == "public, number seed mod 10"
    for seed in (3, 13):
        assert torch.equal(task.split(seed).train, (place[:, 3] < 30).nonzero().view(-1))


def test_links_are_held_out_and_messages_do_not_see_them(link_task: LinkPrediction) -> None:
    train, validation, test = link_task.split(4)
    assert torch.equal(train.edge_index, validation.edge_index)
    passed = {tuple(edge) for edge in train.edge_index.t().tolist()}
    real = {tuple(edge) for edge in link_task.data.edge_index.t().tolist()}
    for part, seen in ((validation, passed), (test, {*map(tuple, test.edge_index.t().tolist())})):
        pairs = [tuple(pair) for pair in part.edge_label_index.t().tolist()]
        for pair, linked in zip(pairs, part.edge_label.tolist(), strict=True):
            assert pair not in seen
            assert (pair[1], pair[0]) not in seen
            assert (pair in real) == bool(linked)
    again = link_task.split(4)[2].edge_label_index
    assert torch.equal(again, test.edge_label_index)


def test_a_description_states_sizes_and_split(tasks: dict[str, Any]) -> None:
    facts = {kind: task.describe() for kind, task in tasks.items()}
    assert facts["node"]["nodes"] == facts["link"]["nodes"] == 60
    assert (facts["node"]["classes"], facts["graph"]["classes"]) == (3, 2)
    assert facts["graph"]["graphs"] == 40
    assert facts["link"]["metric"] == "roc_auc"
    assert all(f["split"] and f["features"] == 5 for f in facts.values())


def test_graphs_without_features_get_degrees(new_graph: Callable[..., Data]) -> None:
    graphs = [new_graph(12, seed=i) for i in range(10)]
    for i, graph in enumerate(graphs):
        graph.num_nodes, graph.x, graph.y = 12, None, torch.tensor([i % 2])
    task = GraphClassification(graphs, name="mine")
    assert task.features == 65
    star = Data(edge_index=torch.stack([torch.arange(1, 99), torch.zeros(98, dtype=torch.int64)]))
    assert one_hot_degrees(star).argmax(1)[:2].tolist() == [64, 0]


def test_seeded_leaves_the_streams_as_they_were() -> None:
    def draw() -> tuple[float, float, float]:
        return float(torch.rand(1)), float(np.random.rand()), random.random()  # noqa: NPY002

    def start() -> None:
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        random.seed(5)

    start()
    expected = draw()
    start()
    drawn = []
    for _ in range(2):
        with seeded(1):
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert draw() == expected
