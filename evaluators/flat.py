"""A network as a function of one vector of weights."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector


class FlatNetwork:
    """Runs a network with weights from a vector; the network's own stay as they are.

    Args:
        network: Its parameters are all that it learns: it keeps no running statistics.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        named = dict(network.named_parameters())
        self._names = list(named)
        self._shapes = [p.shape for p in named.values()]
        self._sizes = [p.numel() for p in named.values()]

    def weights(self) -> Tensor:
        """A copy of the network's own weights ``[n]``."""
        return parameters_to_vector(self.network.parameters()).detach().clone()

    def named(self, weights: Tensor) -> dict[str, Tensor]:
        """Weights ``[n]`` by the names and in the shapes of the network's parameters."""
        # The backward pass of one split is one concatenation; slices would cost a vector each.
        parts = torch.split(weights, self._sizes)
        return {
            name: part.view(shape)
            for name, part, shape in zip(self._names, parts, self._shapes, strict=True)
        }

    def __call__(self, weights: Tensor, *inputs: Any) -> Tensor:
        return cast(Tensor, functional_call(self.network, self.named(weights), inputs))
