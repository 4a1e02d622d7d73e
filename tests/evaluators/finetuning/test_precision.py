"""Linear maps in bfloat16: near float32, in values and gradients; small ones untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from bequest.evaluators.finetuning.precision import WORTH, LinearMaps, _cpu_can, mixed_precision
from bequest.evaluators.peft import attach
from bequest.evaluators.peft.cost import CostModel, measure


def _pass(layer: nn.Linear, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.square().sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    return y.detach(), x.grad, layer.weight.grad, layer.bias.grad


def test_values_and_gradients_are_near_those_of_float32() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(384, 384), torch.randn(7, 11, 384)
    exact = _pass(layer, x)
    with LinearMaps():
        near = _pass(layer, x)
    for a, b in zip(exact, near, strict=True):
        assert b.dtype == torch.float32
        error = (a - b).norm() / a.norm()
        assert 0 < error < 0.01


def test_weights_that_change_are_seen() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(384, 384).requires_grad_(False), torch.randn(5, 384)

    def error() -> float:
        with LinearMaps():
            near = layer(x)
        exact = layer(x)
        return float((near - exact).detach().norm() / exact.detach().norm())

    assert 0 < error() < 0.01
    layer.weight.mul_(-2.0)
    assert error() < 0.01
    layer.requires_grad_()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        with LinearMaps():
            layer(x).square().sum().backward()
        optimizer.step()
        assert error() < 0.01
    layer.requires_grad_(False)
    assert error() < 0.01


def test_an_input_that_changes_in_place_is_seen() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(384, 384).requires_grad_(False), torch.randn(5, 384)
    with LinearMaps():
        first, again = layer(x), layer(x)
        x.mul_(2.0)
        second = layer(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert (second - layer(x)).norm() < 0.01 * layer(x).norm()


def test_small_maps_and_other_functions_stay_as_they_are() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(8, WORTH // 8 - 1), torch.randn(3, WORTH // 8 - 1)
    double = torch.randn(512, 512, dtype=torch.float64)
    with LinearMaps():
        assert torch.equal(functional.linear(x, weight), x @ weight.T)
        assert functional.linear(double, double).dtype == torch.float64
        assert torch.equal(functional.gelu(x), nn.GELU()(x))


@pytest.mark.parametrize("amx", [True, False])
def test_cpu_has_it_where_it_pays(monkeypatch: pytest.MonkeyPatch, amx: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    _cpu_can.cache_clear()
    try:
        assert isinstance(mixed_precision(torch.device("cpu")), LinearMaps) == amx
    finally:
        _cpu_can.cache_clear()


@pytest.mark.parametrize("method", ["full", "lora", "adapter", "bitfit"])
def test_no_more_is_kept_for_the_backward_pass(method: str) -> None:
    model = BertModel(
        BertConfig(
            vocab_size=100,
            hidden_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=1024,
        )
    ).eval()
    handle = attach(model, method)
    inputs = CostModel(model, vocabulary=100).inputs(4, 16)
    exact = measure(handle, inputs)
    with LinearMaps():
        near = measure(handle, inputs)
    assert near.memory == exact.memory > 0
