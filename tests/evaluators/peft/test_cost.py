"""Predicted costs against measured ones, and against what can be counted by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from bequest.evaluators.peft import METHODS, attach
from bequest.evaluators.peft.cost import CostModel, exceeded, measure
from bequest.evaluators.peft.methods.das import SkippingHandle
from tests.evaluators.peft.backbones import SIZES, make_backbone, needed, outputs


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("probe", "black-box-prompt")])
def test_what_is_predicted_is_what_is_measured(method: str) -> None:
    model = make_backbone("bert")
    costs = CostModel(model, vocabulary=50)
    knobs = {k: v for k, v in needed(method, model).items() if k != "sources"}
    if method == "scalearn":
        pytest.skip("its sources are data, not knobs")
    predicted = costs.predict(method, knobs, batch=6, length=40)
    torch.manual_seed(0)
    handle = attach(model, method, **knobs)
    measured = measure(handle, costs.inputs(6, 40))
    assert predicted.parameters == measured.parameters
    assert predicted.memory == pytest.approx(measured.memory, rel=0.01)
    assert predicted.flops == pytest.approx(measured.flops, rel=0.01)


@pytest.mark.parametrize("method", ["probe", "black-box-prompt"])
def test_without_a_backward_pass_nothing_is_kept(method: str) -> None:
    assert CostModel(make_backbone("bert"), vocabulary=50).predict(
        method, {}, batch=4, length=16
    ).memory == pytest.approx(0, abs=1)


def test_one_more_layer_costs_what_one_layer_costs() -> None:
    costs = CostModel(make_backbone("bert"), vocabulary=50)
    memory: list[Any] = [
        costs.predict("lora", {}, layer_lo=low, batch=4, length=16).memory for low in range(4)
    ]
    steps = [a - b for a, b in pairwise(memory)]
    assert steps[0] == pytest.approx(steps[1], rel=1e-6)
    assert steps[1] == pytest.approx(steps[2], rel=1e-6)


def test_operations_of_full_tuning_are_thrice_the_forward_pass() -> None:
    costs = CostModel(make_backbone("bert"), vocabulary=50)
    probe, full = (costs.predict(m, {}, batch=4, length=16).flops for m in ("probe", "full"))
    assert full == pytest.approx(3 * probe, rel=0.02)


def test_predicting_leaves_no_trace() -> None:
    model = make_backbone("bert")
    inputs = CostModel(model, vocabulary=50).inputs(2, 8)
    before, state = outputs(model, dict(inputs)), torch.get_rng_state()
    CostModel(model, vocabulary=50).predict("full", {}, batch=4, length=16)
    assert torch.equal(outputs(model, dict(inputs)), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_images() -> None:
    costs = CostModel(make_backbone("vit"), image=(3, 32, 32))
    predicted = costs.predict("lora", {}, batch=8)
    measured = measure(attach(costs.model, "lora"), costs.inputs(8, 0))
    assert predicted.memory == pytest.approx(measured.memory, rel=0.01)


def test_the_first_limit_that_is_exceeded_is_named() -> None:
    cost = CostModel(make_backbone("bert"), vocabulary=50).predict("lora", {}, batch=1, length=8)
    assert exceeded(cost, {"parameters": 1e9}) is None
    assert "parameters 4096 is above the limit 100" in str(exceeded(cost, {"parameters": 100}))


def test_attention_costs_grow_with_the_square_of_the_length() -> None:
    costs = CostModel(make_backbone("bert"), vocabulary=50)
    flops = [costs.predict("probe", {}, batch=1, length=n).flops / n for n in (16, 32, 48)]
    assert flops[1] - flops[0] == pytest.approx(flops[2] - flops[1], rel=0.02)
    width, layers = SIZES["hidden_size"], SIZES["num_hidden_layers"]
    assert flops[1] - flops[0] == pytest.approx(16 * 4 * width * layers, rel=0.02)


def test_dropout_keeps_what_it_drops() -> None:
    costs = CostModel(make_backbone("bert"), vocabulary=50)
    plain, dropped = (
        costs.predict("lora", {"dropout": p}, batch=4, length=16).memory for p in (0.0, 0.1)
    )
    assert dropped > plain


def test_skipping_is_charged_as_where_it_costs_most() -> None:
    costs = CostModel(make_backbone("bert"), vocabulary=50)
    knobs = {"skip": 1, "bottleneck": 8}
    predicted = costs.predict("das", knobs, batch=4, length=16).memory
    handle = attach(costs.model, "das", **knobs)
    assert isinstance(handle, SkippingHandle)
    for place in range(len(handle.skipped)):
        handle.skipped.zero_()
        handle.skipped[place] = True
        assert measure(handle, costs.inputs(4, 16)).memory <= predicted * 1.001
