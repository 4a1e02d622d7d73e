"""The image evaluator: networks of cells, trained from scratch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from torch import nn

from bequest import load_model
from bequest.common.errors import ConfigurationError, DataError, EvaluationError, SpaceError
from bequest.evaluators.cost import count_flops, count_parameters
from bequest.evaluators.datasets import load_task
from bequest.evaluators.image.cell_network import (
    MixedEdge,
    NasBench201Cell,
    Shape,
    cell_network,
    mixed_network,
)
from bequest.evaluators.image.cell_operations import OPERATIONS, AveragePool, affine_norm
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.evaluators.image.tasks import ImageClassification
from bequest.evaluators.image.training import Budget
from bequest.spaces import Space
from bequest.spaces.cell import darts_space, nas_bench_201_space
from bequest.spaces.gnn import gnn_space
from bequest.spaces.relaxation import relaxation_of

SPACES = [nas_bench_201_space(), darts_space()]


@pytest.fixture(scope="module")
def digits() -> ImageClassification:
    task = load_task("digits")
    assert isinstance(task, ImageClassification)
    return task


def make_image_evaluator(task: ImageClassification, **options: Any) -> ImageEvaluator:
    budget = Budget(epochs=5, images=500, batch_size=32)
    return ImageEvaluator(task, **{"budget": budget, "channels": 4, **options})


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
@pytest.mark.parametrize("size", [8, 15])
def test_a_supernet_whose_gates_are_shut_but_one_each_is_the_network(
    space: Space, size: int
) -> None:
    """Every operation at its place: the same weights give the same scores."""
    config = space.sample(np.random.default_rng(1))
    relaxation = relaxation_of(space)
    shape = Shape(3, 5, channels=4)
    torch.manual_seed(0)
    supernet, network = mixed_network(space, shape), cell_network(space, config, shape).train()
    picks = dict(relaxation.picks(config))
    weights = supernet.state_dict()
    taken = {}
    for name in network.state_dict():
        wanted = name
        for edge, option in picks.items():
            place = list(relaxation.decisions[edge]).index(option)
            place -= relaxation.decisions[edge][0] == "none"
            wanted = wanted.replace(f"{edge}.operation.", f"{edge}.operations.{place}.")
        taken[name] = weights.get(wanted, network.state_dict()[name])  # norms have more here
    network.load_state_dict(taken)
    gates = {
        name: torch.tensor([float(picks.get(name) == option) for option in options])
        for name, options in relaxation.decisions.items()
    }
    x = torch.randn(6, 3, size, size)
    assert torch.allclose(supernet(x, gates), network(x), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_channels_and_stride(name: str, stride: int) -> None:
    for size in (8, 7):
        out = OPERATIONS[name](6, stride, affine_norm)(torch.randn(2, 6, size, size))
        assert out.shape == (2, 6, -(-size // stride), -(-size // stride))


def test_the_average_pool_is_pytorchs() -> None:
    x = torch.randn(2, 3, 9, 8)
    for stride in (1, 2):
        known = nn.functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
        assert torch.allclose(AveragePool(stride)(x), known, atol=1e-6)


def test_sizes_of_a_network_are_exact() -> None:
    network = cell_network(nas_bench_201_space(), nas_bench_201_space().default or {}, Shape(1, 10))
    cells = sum(6 * (9 * c * c + 2 * c) for c in (8, 16, 32))
    reductions = sum(9 * c * 2 * c + 9 * 4 * c * c + 8 * c + 2 * c * c for c in (8, 16))
    assert count_parameters(network) == 9 * 8 + 16 + cells + reductions + 64 + 32 * 10 + 10
    network.eval()
    x = torch.randn(1, 1, 8, 8)
    sides = ((8, 8), (16, 4), (32, 2))
    products = 9 * 8 * 64 + sum(6 * 9 * c * c * s * s for c, s in sides) + 320
    products += sum((9 * c * 2 * c + 36 * c * c + 2 * c * c) * s * s for c, s in ((8, 4), (16, 2)))
    assert count_flops(lambda: network(x), network) == 2 * products


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_it_learns_repeats_itself_and_reports_each_epoch(
    space: Space, digits: ImageClassification
) -> None:
    cheap = {"budget": Budget(epochs=5, images=100, batch_size=20), "channels": 2}
    evaluator = make_image_evaluator(digits, space=space, **(cheap if len(space) > 6 else {}))
    config = space.default or {}
    curve: dict[int, float] = {}
    first = evaluator(config, seed=0, report=curve.__setitem__)
    assert list(curve) == [1, 2, 3, 4, 5]
    assert curve[5] == first.value
    assert first.value > 0.4 or space == darts_space()  # which is made tiny here
    again = evaluator(config, seed=0)
    clock = {"seconds"}
    assert again.value == first.value
    assert {k: v for k, v in again.metrics.items() if k not in clock} == {
        k: v for k, v in first.metrics.items() if k not in clock
    }
    assert evaluator(config, seed=1).metrics["train_loss"] != first.metrics["train_loss"]


def test_pruning_ends_a_training(digits: ImageClassification) -> None:
    def prune(step: int, value: float) -> None:
        raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        make_image_evaluator(digits)(nas_bench_201_space().default or {}, seed=0, report=prune)


def test_a_cell_without_any_way_through_is_measured_all_the_same(
    digits: ImageClassification,
) -> None:
    config: Any = dict.fromkeys(nas_bench_201_space().default or {}, "none")
    assert make_image_evaluator(digits)(config, seed=0).value == pytest.approx(0.1, abs=0.06)


def test_the_winner_is_saved_and_comes_back(digits: ImageClassification, tmp_path: Path) -> None:
    evaluator = make_image_evaluator(digits)
    config = nas_bench_201_space().default or {}
    model = evaluator.fit(config, seed=0)
    model.save(tmp_path)
    again = load_model(tmp_path)
    images = digits.images[:50]
    assert torch.equal(again.predict(images), model.predict(images))
    assert again.metrics == model.metrics
    assert float((model.predict(images).numpy() == digits.labels[:50]).mean()) > 0.3
    with pytest.raises(DataError, match=r"images of 1 channels.* and got \[2, 3, 8, 8\]"):
        model.predict(np.zeros((2, 3, 8, 8)))
    both = evaluator.fit(config, seed=0, train_on_validation=True)
    assert not any(name.startswith("validation") for name in both.metrics)


def test_faults_are_named(digits: ImageClassification) -> None:
    evaluator = make_image_evaluator(digits)
    with pytest.raises(ConfigurationError, match="'e12' is missing"):
        evaluator({"e01": "none", "e02": "none"}, seed=0)
    budget = dataclasses.replace(evaluator.budget, learning_rate=1e30)
    with pytest.raises(
        EvaluationError, match=r"diverged in epoch \d: a learning_rate below 1e\+30"
    ):
        make_image_evaluator(digits, budget=budget)(evaluator.space.default or {}, seed=0)
    with pytest.raises(EvaluationError, match="a budget has epochs 0"):
        Budget(epochs=0)
    with pytest.raises(SpaceError, match="'gnn' is not one of cells"):
        ImageEvaluator(digits, space=gnn_space())


def test_a_decaying_skip_needs_a_skip() -> None:
    edge = MixedEdge("e", ("none", "nor_conv_1x1", "skip_connect"), 4, 1)
    edge.extra = 0.5
    x = torch.randn(2, 4, 5, 5)
    gates = {"e": torch.tensor([1.0, 0.0, 0.25])}
    assert torch.allclose(edge(x, gates), 0.75 * x)


def test_what_is_not_as_usual_is_said(digits: ImageClassification) -> None:
    assert ImageEvaluator(digits).conditions == {}
    other = ImageEvaluator(digits, budget=Budget(epochs=2), cells=2)
    assert other.conditions == {"epochs": 2, "cells": 2}


def test_a_node_is_the_sum_of_its_edges() -> None:
    """With every edge a copy, the last of four nodes has 1 + 1 + 2 = 4 times the image."""

    class Edge(nn.Module):
        def forward(self, x: torch.Tensor, gates: Any) -> torch.Tensor:
            return x

    cell = NasBench201Cell(2, lambda name, channels, stride: Edge())
    x = torch.rand(1, 2, 3, 3)
    assert torch.allclose(cell(x, None), 4 * x)
