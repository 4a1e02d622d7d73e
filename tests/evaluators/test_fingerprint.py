"""Fingerprints: the estimate of squared gradients, kappa, and what a task's fingerprint may see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from bequest import GraphClassification, LinkPrediction, NodeClassification
from bequest.evaluators.fingerprint import Fingerprinter, log_kappa, squared_gradients
from bequest.evaluators.graph.fingerprint import GraphFingerprinter
from bequest.spaces import Config
from bequest.spaces.gnn import LAYERS, gnn_space

Task = NodeClassification | LinkPrediction | GraphClassification


def _config(**changes: Any) -> Config:
    return gnn_space("node").validate({**(gnn_space("node").default or {}), "width": 8, **changes})


ANCHORS = [
    _config(),
    _config(layer="gin", batch_norm=True, layers_pre=1, layers_post=2, stage="skip-sum"),
    _config(layer="gat", heads=2, stage="skip-concat", activation="prelu"),
]


def test_random_signs_give_the_mean_of_squared_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 4, generator=generator), torch.randn(30, generator=generator)
    weight = torch.ones(4, requires_grad=True)
    losses = (x @ weight - y) ** 2 / 2
    residual = (x.sum(1) - y).double()
    exact = ((x.double() * residual[:, None]) ** 2).mean(0)
    torch.manual_seed(0)
    estimate = squared_gradients(lambda: losses, [weight], draws=20_000)
    torch.testing.assert_close(estimate, exact, rtol=0.05, atol=0.0)


def test_a_single_sample_is_exact_and_unused_weights_are_left_out() -> None:
    weight, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    losses = (weight * torch.tensor([3.0, 4.0])).sum().view(1)
    estimate = squared_gradients(lambda: losses, [weight, unused], draws=3)
    torch.testing.assert_close(estimate, torch.tensor([9.0, 16.0], dtype=torch.float64))


def test_kappa_of_information_spread_evenly_and_in_one_place() -> None:
    assert log_kappa(torch.ones(10)) == pytest.approx(0)
    assert log_kappa(torch.eye(10)[3]) == pytest.approx(math.log(10))
    assert log_kappa(torch.tensor([1.0, 3.0])) == pytest.approx(math.log(5 / 4))
    assert math.isnan(log_kappa(torch.zeros(3)))
    assert math.isnan(log_kappa(torch.tensor([1.0, math.inf])))


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e150])
def test_kappa_is_free_of_the_scale(scale: float) -> None:
    fisher = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert log_kappa(fisher * scale) == pytest.approx(log_kappa(fisher))


@pytest.mark.parametrize("level", ["node", "link", "graph"])
def test_a_fingerprint_is_a_function_of_task_anchors_and_seed(
    tasks: dict[str, Task], level: str
) -> None:
    fingerprinter: Fingerprinter[Any] = GraphFingerprinter(ANCHORS)
    first = fingerprinter(tasks[level], seed=0)
    assert first.shape == (3,)
    assert np.isfinite(first).all()
    assert (first > 0).all()
    torch.rand(1)
    state = torch.get_rng_state()
    assert (fingerprinter(tasks[level], seed=0) == first).all()
    assert (torch.get_rng_state() == state).all()
    assert (fingerprinter(tasks[level], seed=1) != first).all()
    turned = GraphFingerprinter(ANCHORS[::-1])(tasks[level], seed=0)
    assert (turned == first[::-1]).all()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_type_has_weights_to_look_at(
    graph_task: GraphClassification, layer: str
) -> None:
    given: Config = {"layer": layer, "layers_mp": 1, "stage": "stack"}
    anchor = gnn_space("node").sample(np.random.default_rng(0), given)
    (value,) = GraphFingerprinter([anchor], initialisations=1)(graph_task, seed=0)
    assert value > 0


def _with_test_labels(graph: Data, label: int) -> NodeClassification:
    """The toy task, its stratified split made public, all test labels set to one class."""
    split = NodeClassification(graph, name="toy").split(0)
    data = graph.clone()
    data.y = graph.y.index_fill(0, split.test, label)
    for name, index in zip(
        ("train", "val", "test"), (split.train, split.validation, split.test), strict=True
    ):
        mask = torch.zeros(60, dtype=torch.bool)
        mask[index] = True
        data[f"{name}_mask"] = mask
    return NodeClassification(data, name="toy")


def test_labels_of_the_test_part_do_not_count(graph: Data) -> None:
    fingerprinter = GraphFingerprinter(ANCHORS)
    found = [fingerprinter(_with_test_labels(graph, label), seed=0) for label in (0, 2)]
    assert (found[0] == found[1]).all()


def test_test_graphs_do_not_count(graphs: list[Data]) -> None:
    task = GraphClassification(graphs, name="toy")
    before = GraphFingerprinter(ANCHORS)(task, seed=0)
    for i in task.split(0).test.tolist():
        task.graphs[i].x = torch.zeros_like(task.graphs[i].x)
        task.graphs[i].edge_index = task.graphs[i].edge_index[:, :2]
    assert (GraphFingerprinter(ANCHORS)(task, seed=0) == before).all()


def test_only_what_is_looked_at_is_drawn(
    graphs: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cap on samples makes large tasks cheap and leaves the fingerprint near."""
    task = GraphClassification(graphs, name="toy")
    full = GraphFingerprinter(ANCHORS)(task, seed=0)
    monkeypatch.setattr("bequest.evaluators.graph.fingerprint.GRAPHS", 6)
    capped = GraphFingerprinter(ANCHORS)(task, seed=0)
    assert (capped != full).all()
    np.testing.assert_allclose(capped, full, atol=1.0)


def test_a_network_that_explodes_says_nothing(graph: Data) -> None:
    data = graph.clone()
    data.x = graph.x * 1e30
    anchor = _config(layer="gin", layers_mp=8)
    assert GraphFingerprinter([anchor])(NodeClassification(data, name="toy"), seed=0) == 0
