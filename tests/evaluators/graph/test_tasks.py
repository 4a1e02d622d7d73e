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
from bequest.common.errors import DataError
from bequest.evaluators.graph.tasks import one_hot_degrees
from bequest.evaluators.seeding import seeded
from bequest.evaluators.splits import hold_out, some_of, stratified_split


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
        ({"edge_index": torch.tensor([[0.0, 1.0], [1.0, 2.0]])}, "edges of type torch.float32"),
        ({"x": np.ones((60, 2))}, "data.x that is no dense tensor"),
        ({"x": torch.eye(60).to_sparse()}, "data.x that is no dense tensor"),
        ({"y": torch.arange(60) * 1_000_000}, "60 classes, numbered up to 59000000: number them"),
        ({"train_mask": torch.arange(60) < 30}, "has train_mask alone: give train_mask and"),
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


@given(st.lists(st.integers(0, 40), min_size=10, max_size=60), st.integers(0, 99))
def test_any_labels_can_be_split(labels: list[int], seed: int) -> None:
    parts = _parts(torch.tensor(labels), seed)
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(labels)))
    assert all(len(part) for part in parts)


@given(st.lists(st.integers(0, 9), min_size=10, max_size=60), st.integers(0, 99))
def test_what_is_held_out_leaves_a_classs_only_example(labels: list[int], seed: int) -> None:
    y = np.array(labels)
    rest, held = hold_out(y, 4, seed)
    assert sorted([*rest, *held]) == list(range(len(y)))
    alone = {k for k in labels if labels.count(k) == 1}
    assert alone <= set(y[rest].tolist())
    assert len(held) == min(4, len(y) - len(alone))
    drawn = some_of(y, 8, seed)
    assert len(drawn) == len(set(drawn.tolist())) == 8
    if len(alone) <= 8:
        assert alone <= set(y[drawn].tolist())


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


def test_public_test_nodes_stay_so_without_a_validation_mask(graph: Data) -> None:
    masks = _masks((0, 40), (0, 0), (40, 60))
    graph.update({name: mask for name, mask in masks.items() if name != "val_mask"})
    task = NodeClassification(graph, name="mine")
    for seed in (0, 7):
        split = task.split(seed)
        assert torch.equal(split.test, torch.arange(40, 60))
        assert (len(split.train), len(split.validation)) == (32, 8)
        assert torch.equal(torch.cat([split.train, split.validation]).sort()[0], torch.arange(40))
    assert not torch.equal(task.split(0).validation, task.split(7).validation)
    assert "a fifth of the training nodes" in task.describe()["split"]
    graph.train_mask = torch.arange(60) < 9
    with pytest.raises(DataError, match="9 training nodes and no val_mask"):
        NodeClassification(graph, name="mine")


def test_small_integers_become_large_ones(graph: Data, graphs: list[Data]) -> None:
    # 46,341 nodes and more: a place in the adjacency matrix is no 32-bit number.
    for some in (graph, *graphs):
        some.edge_index = some.edge_index.int()
    whole = [kind(graph, name="mine").data for kind in (NodeClassification, LinkPrediction)]
    whole += GraphClassification(graphs, name="mine").graphs
    assert {some.edge_index.dtype for some in whole} == {torch.int64}


def test_nodes_outside_the_masks_may_have_no_class(graph: Data) -> None:
    graph.update(_masks((0, 20), (20, 30), (30, 50)))
    graph.y[50:] = -1
    task = NodeClassification(graph, name="mine")
    assert task.classes == 3
    assert 0.3 <= task.describe()["majority_share"] <= 0.5
    graph.y[40] = -1
    with pytest.raises(DataError, match="the label -1"):
        NodeClassification(graph, name="mine")


def test_one_test_mask_may_serve_all_splits(graph: Data) -> None:
    place = (torch.arange(60).view(-1, 1) + torch.arange(4)) % 40
    graph.train_mask, graph.val_mask = place < 20, place >= 20
    graph.test_mask = torch.arange(60) >= 40
    graph.train_mask[40:] = graph.val_mask[40:] = False
    task = NodeClassification(graph, name="mine")
    assert task.describe()["split"] == "public, number seed mod 4"
    assert torch.equal(task.split(3).test, torch.arange(40, 60))
    assert not torch.equal(task.split(2).train, task.split(3).train)


def test_data_of_the_same_name_are_told_apart(graph: Data) -> None:
    tasks = [NodeClassification(graph, name="mine"), LinkPrediction(graph, name="mine")]
    graphs = [
        Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0], [1]]), y=i % 2) for i in range(12)
    ]
    tasks.append(GraphClassification(graphs, name="mine"))
    before = [task.digest for task in tasks]
    other = graph.clone()
    other.x[0, 0] += 1
    others = [NodeClassification(other, name="mine"), LinkPrediction(other, name="mine")]
    others.append(GraphClassification(graphs[::-1], name="mine"))
    assert [task.digest for task in others] != before
    assert all(a.digest != b for a, b in zip(others, before, strict=True))
    assert NodeClassification(graph.clone(), name="mine").digest == before[0]
    half = graph.clone()
    half.x = half.x.bfloat16().requires_grad_()
    assert len(NodeClassification(half, name="mine").digest) == 16


def test_edge_weights_are_not_used_and_it_says_so(graph: Data) -> None:
    graph.edge_weight = torch.ones(graph.num_edges)
    with pytest.warns(UserWarning, match="weights of edges, which are not used"):
        NodeClassification(graph, name="mine")


def test_a_complete_graph_has_no_links_to_tell() -> None:
    edges = torch.combinations(torch.arange(12)).t()
    with pytest.raises(DataError, match="66 links and 0 pairs of nodes without one"):
        LinkPrediction(Data(x=torch.eye(12), edge_index=edges), name="mine")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "1 of 12 graphs without node features"),
        ({"y": None}, "graphs without one class"),
        ({"edge_index": None}, "a graph without edges"),
        ({"edge_index": torch.tensor([[0.5], [1.5]])}, "edges that are no whole numbers"),
    ],
)
def test_graphs_that_lack_something_are_refused(changes: dict[str, Any], message: str) -> None:
    graphs = [
        Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0], [1]]), y=i % 2) for i in range(12)
    ]
    assert GraphClassification(graphs, name="mine").labels.tolist() == [0, 1] * 6
    for name, value in changes.items():
        graphs[5][name] = value
    with pytest.raises(DataError, match=message):
        GraphClassification(graphs, name="mine")
    with pytest.raises(DataError, match="got a tuple among its graphs"):
        GraphClassification([(1, 2), *graphs], name="mine")  # type: ignore[list-item]


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
