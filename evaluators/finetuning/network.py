"""A method on a backbone with a head on top: what is trained, and what predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...spaces import Config
from ..peft.handle import Handle, Inputs
from ..peft.registry import attach
from ..peft.space import method_of
from .batches import Examples, FrozenStates, device_of, sorted_batches
from .precision import mixed_precision

REGULARISATION = 300.0
"""Of a probe by default: on 500 examples of TREC-6 and MR near the best, and weak enough
that a method which starts from the probe still has a gradient."""


class TunedNetwork(nn.Module):
    """Features of a tuned backbone, and a linear head. Its weights are what is trained, no more.

    Args:
        handle: The method, attached to a backbone.
        classes: How many.
        dropout: On the features.
    """

    def __init__(self, handle: Handle, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.handle = handle
        self.own, self.readout = handle.own, handle.readout
        self.tuned = nn.ParameterList(handle.weights.values())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(handle.readout.width, classes)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """The head's weights, and the method's own as it keeps them."""
        head = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        return head | {f"method.{name}": value for name, value in self.handle.state().items()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor], *args: Any, **options: Any) -> None:
        """Take over what `state_dict` gave."""
        parts: dict[str, dict[str, Tensor]] = {"head": {}, "method": {}}
        for name, value in state_dict.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.head.load_state_dict(parts["head"])
        self.handle.load_state(parts["method"])

    @property
    def model(self) -> nn.Module:
        """The backbone; no part of this module, so that its weights are not saved with it."""
        return self.handle.site.model

    @property
    def device(self) -> torch.device:
        """Where the backbone is."""
        return device_of(self.handle)

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits ``[B, classes]``."""
        logits: Tensor = self.head(self.dropout(self.handle.features(inputs)))
        return logits

    def read(self, states: list[Tensor], mask: Tensor | None) -> Tensor:
        """Logits of stored states."""
        logits: Tensor = self.head(self.dropout(self.readout(states, mask)))
        return logits

    def train(self, mode: bool = True) -> TunedNetwork:
        """Switch the dropout of method and head; the backbone's stays off."""
        super().train(mode)
        self.handle.train(mode)
        return self

    @torch.no_grad()
    def start_head(self, weight: Tensor, bias: Tensor) -> None:
        """Begin with a probe's weights ``[classes, D]``; what the probe has not seen counts 0."""
        nn.init.zeros_(self.head.weight)
        self.head.weight[:, : weight.shape[1]] = weight
        self.head.bias.copy_(bias)


def rebuilt(
    model: nn.Module, config: Config, classes: int, weights: Mapping[str, Tensor]
) -> TunedNetwork:
    """A trained network again: its method on its backbone, with the weights that were saved."""
    choice = method_of(config)
    handle = attach(model, choice.method, layer_lo=choice.layer_lo, **choice.knobs)
    network = TunedNetwork(handle, classes)
    network.load_state_dict(weights)
    return network


def logits_of(
    network: TunedNetwork, examples: Examples, kept: FrozenStates | None = None
) -> Tensor:
    """Logits ``[n, classes]`` of all examples, in evaluation mode, on the CPU."""
    network.eval()
    logits = torch.empty(len(examples), network.head.out_features)
    with torch.no_grad():
        for index in sorted_batches(examples):
            logits[index] = one_batch(network, examples, index, kept).float().cpu()
    return logits


def one_batch(
    network: TunedNetwork, examples: Examples, index: Sequence[int], kept: FrozenStates | None
) -> Tensor:
    """Logits of a batch, from stored states or through the backbone."""
    device = network.device
    with mixed_precision(device):
        if kept is not None:
            return network.read(*kept.batch(index))
        logits: Tensor = network(examples.inputs(index, device))
        return logits


def solve_probe(
    features: Tensor, labels: Tensor, classes: int, regularisation: float = REGULARISATION
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression on frozen features, standardised inside.

    Args:
        features: ``[n, D]``.
        labels: ``[n]`` int64; a class that does not occur is never chosen.
        classes: How many.
        regularisation: Weight of the squared norm; scikit-learn's ``1 / C``.

    Returns:
        Weight ``[classes, D]`` and bias ``[classes]`` for the features as they are.
    """
    from sklearn.linear_model import LogisticRegression

    present = torch.unique(labels)
    if len(present) == 1:  # nothing to tell apart
        only = torch.full((classes,), -10.0)
        only[present] = 0.0
        return torch.zeros(classes, features.shape[1]), only
    x = features.double().numpy()
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    solver = LogisticRegression(C=1 / regularisation, max_iter=300)
    solver.fit((x - mean) / deviation, labels.numpy())
    weight = np.zeros((classes, x.shape[1]))
    bias = np.full(classes, -10.0)  # a class that was not drawn
    if len(solver.classes_) == 2:
        half = solver.coef_[0] / 2
        weight[solver.classes_] = np.stack([-half, half])
        bias[solver.classes_] = np.array([-0.5, 0.5]) * solver.intercept_[0]
    else:
        weight[solver.classes_], bias[solver.classes_] = solver.coef_, solver.intercept_
    weight = weight / deviation
    bias = bias - weight @ mean
    return torch.tensor(weight).float(), torch.tensor(bias).float()
