"""Costs: exact on networks that can be counted by hand."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from bequest.evaluators.cost import PeakMemory, count_flops, count_parameters


def test_frozen_parameters_are_not_counted() -> None:
    network = nn.Linear(4, 3)
    network.bias.requires_grad_(False)
    assert count_parameters(network) == 12


def test_dense_and_sparse_products_are_counted_by_their_entries() -> None:
    layer = nn.Linear(6, 5)
    x = torch.zeros(10, 6)
    x[0, 0] = x[3, 2] = 1.0
    assert count_flops(lambda: layer(x), layer) == 2 * 10 * 6 * 5
    assert count_flops(lambda: x.to_sparse_csr() @ layer.weight.t(), layer) == 2 * 2 * 5


def test_attention_is_counted_on_a_cpu() -> None:
    query, key, value = torch.randn(3, 2, 4, 8, 16).unbind()  # inputs, heads, positions, width
    attention = torch.nn.functional.scaled_dot_product_attention
    products = 2 * (2 * 4 * 8 * 8 * 16)
    assert count_flops(lambda: attention(query, key, value), nn.Identity()) == 2 * products


def test_memory_is_weights_gradients_moments_and_what_is_saved() -> None:
    """One hidden layer saves its input, and its activation once, though two nodes need it."""
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    weights = 4 * (4 * 8 + 8 + 8 + 1)
    saved = 4 * (32 * 4 + 32 * 8)
    for optimizer, moments in (
        (torch.optim.SGD(network.parameters(), 0.1), 0),
        (torch.optim.SGD(network.parameters(), 0.1, momentum=0.9), 1),
        (torch.optim.Adam(network.parameters()), 2),
    ):
        memory = PeakMemory(network, optimizer, torch.device("cpu"))
        with memory.watch():
            loss = network(torch.ones(32, 4)).sum()
        loss.backward()
        optimizer.step()
        counters = 4 * 4 if moments == 2 else 0  # Adam counts its steps for each tensor
        assert memory.bytes() == (2 + moments) * weights + counters + saved


@pytest.mark.parametrize("layer", [nn.Tanh, nn.Sigmoid, nn.Softplus])
def test_a_watched_pass_leaves_no_network_behind(layer: type[nn.Module]) -> None:
    network = nn.Sequential(nn.Linear(4, 4), layer(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    memory = PeakMemory(network, optimizer, torch.device("cpu"))
    with memory.watch():
        hidden = network[:2](torch.ones(2, 4))
        aside = layer()(hidden)  # a pooler, say, that no loss reads: its backward pass never comes
        loss = network[2](hidden).sum()
    loss.backward()
    assert memory.bytes() > 0
    known = weakref.ref(network), weakref.ref(network[0].weight)
    del network, optimizer, memory, hidden, aside, loss
    gc.collect()
    assert [reference() for reference in known] == [None, None]
