"""Residual networks: pruning is exact, and smaller for real."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.evaluators.cost import count_flops, count_parameters
from bequest.evaluators.image.residual import ResidualNetwork, ResidualShape, flops, prune

SHAPE = ResidualShape(1, 3, widths=(4, 6), blocks=2)


def some_channels(seed: int = 0) -> dict[str, list[int]]:
    rng = np.random.default_rng(seed)
    return {
        name: sorted(rng.choice(len(all_), size=rng.integers(1, len(all_)), replace=False).tolist())
        for name, all_ in SHAPE.all_channels().items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_pruned_network_computes_what_the_gated_one_does(seed: int) -> None:
    torch.manual_seed(seed)
    kept = some_channels(seed)
    network = ResidualNetwork(SHAPE, running=False)
    gates = {}
    for name, channels in SHAPE.all_channels().items():
        gates[name] = torch.rand(len(channels)) + 0.5
        gates[name][[c for c in channels if c not in kept[name]]] = 0.0
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = torch.randn(5, 1, 9, 9)
    pruned = prune(network, kept, gates).train()  # by the batch's statistics, as the gated one
    assert torch.allclose(pruned(x), network(x, gates), atol=1e-5)
    assert count_parameters(pruned) < count_parameters(network)


@pytest.mark.parametrize("seed", range(3))
def test_flops_are_those_of_the_built_network(seed: int) -> None:
    for kept in (SHAPE.all_channels(), some_channels(seed)):
        network = ResidualNetwork(SHAPE, kept).eval()
        x = torch.randn(1, 1, 9, 9)
        assert flops(SHAPE, kept, 9) == count_flops(lambda n=network, x=x: n(x), network)


def test_weights_of_a_pruned_network_are_smaller_tensors() -> None:
    kept = {name: channels[:1] for name, channels in SHAPE.all_channels().items()}
    pruned = prune(ResidualNetwork(SHAPE), kept)
    assert {tuple(c.weights.weight.shape[:2]) for c in pruned.convolutions().values()} == {(1, 1)}
    assert pruned.classifier.weight.shape == (3, 1)
