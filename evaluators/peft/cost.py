"""What a method costs, before it is trained: trainable numbers, saved activations, operations a
step.

A step on a few short inputs is watched (`saved_tensors_hooks`, `FlopCounterMode`: no timing, so it
is exact and the same everywhere) and extrapolated: what a transformer saves and computes is ``a + b
B + c B S + d B S^2`` in inputs B and length S, whatever the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ..cost import ATTENTION
from ..seeding import seeded
from .handle import Handle, Inputs
from .registry import attach

PROBES = ((1, 8), (2, 8), (2, 16), (2, 24))
"""(inputs, length) of the steps that are watched: as many as the formula has terms."""

MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """What one training step costs, the head left out.

    Attributes:
        parameters: Trainable numbers.
        memory: Bytes that a forward pass saves for its backward pass; weights are not counted.
        flops: Operations of a forward and a backward pass.
        width: Of the features that a head gets.
        frozen: Whether the method only reads what the frozen backbone says.
    """

    parameters: int
    memory: float
    flops: float
    width: int = 0
    frozen: bool = False


class CostModel:
    """Predicts costs on one backbone; what was predicted once is remembered.

    Args:
        model: The backbone.
        vocabulary: Token ids to draw from; ``None`` for images.
        image: ``[channels, height, width]`` of an image, for backbones that take images.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        vocabulary: int | None = None,
        image: tuple[int, int, int] | None = None,
    ) -> None:
        self.model = model
        self.vocabulary, self.image = vocabulary, image
        self._known: dict[tuple[Any, ...], tuple[Cost, np.ndarray]] = {}

    def predict(
        self,
        method: str,
        knobs: Mapping[str, Any],
        *,
        layer_lo: int = 0,
        batch: int,
        length: int = 0,
    ) -> Cost:
        """The cost of one step.

        Args:
            method: One of `METHODS`.
            knobs: The method's.
            layer_lo: The first block that the method touches.
            batch: B, inputs in a batch.
            length: S, tokens of each; without meaning for images.
        """
        key = (method, layer_lo, *sorted(knobs.items()))
        if key not in self._known:
            self._known[key] = self._watch(method, knobs, layer_lo)
        watched, terms = self._known[key]
        memory, flops = self._terms(batch, length) @ terms
        return replace(watched, memory=max(float(memory), 0.0), flops=float(flops))

    def _watch(self, method: str, knobs: Mapping[str, Any], lowest: int) -> tuple[Cost, np.ndarray]:
        sizes = PROBES if self.image is None else PROBES[:2]
        with seeded(0, next(self.model.parameters()).device):
            handle = attach(self.model, method, layer_lo=lowest, **knobs)
            handle.train()  # dropout keeps what it drops
            try:
                watched = [measure(handle, self.inputs(*size)) for size in sizes]
            finally:
                handle.remove()
        left = np.array([self._terms(*size) for size in sizes])
        right = np.array([[cost.memory, cost.flops] for cost in watched])
        return watched[0], np.linalg.solve(left, right)

    def _terms(self, batch: int, length: int) -> np.ndarray:
        if self.image is not None:
            return np.array([1.0, batch])
        return np.array([1.0, batch, batch * length, batch * length**2])

    def inputs(self, batch: int, length: int) -> Inputs:
        """Inputs of a size, one token padded: without padding, attention would need no mask."""
        device = next(self.model.parameters()).device
        if self.image is not None:
            return {"pixel_values": torch.zeros(batch, *self.image, device=device)}
        ids = torch.randint(self.vocabulary or 2, (batch, length), device=device)
        mask = torch.ones_like(ids)
        mask[0, -1] = 0
        return {"input_ids": ids, "attention_mask": mask}


def measure(handle: Handle, inputs: Inputs) -> Cost:
    """What one step of an attached method costs."""
    saved: dict[int, int] = {}
    weights = [*handle.site.model.parameters(), *handle.site.model.buffers()]
    weights += [*handle.runner.parameters(), *handle.own.parameters(), *handle.own.buffers()]
    weights += list(handle.readout.parameters())
    of_weights = {weight.untyped_storage().data_ptr() for weight in weights}
    alive: list[Tensor] = []  # a freed storage's address would be given out again

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in of_weights:
            saved[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor.detach())
        # An output that is saved as it is would hold its own graph, which would never be freed.
        return tensor.detach()

    before = [(p, p.grad) for p in handle.trainable_parameters()]
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        with saved_tensors_hooks(note, lambda tensor: tensor):
            features = handle.features(inputs)
        if features.requires_grad:
            features.sum().backward()  # type: ignore[no-untyped-call]
        handle.after_backward(lambda: handle.features(inputs).sum())
    for parameter, gradient in before:
        parameter.grad = gradient
    frozen = handle.leaves_backbone
    flops = float(counter.get_total_flops())
    return Cost(handle.count(), float(sum(saved.values())), flops, handle.readout.width, frozen)


# Limits -------------------------------------------------------------------------------------------

LIMITED = {"parameters": "", "memory": "B", "flops": ""}
"""What may be limited, and its unit; see `Cost`."""


def exceeded(cost: Cost, limits: Mapping[str, float]) -> str | None:
    """The first limit that a cost exceeds, in words; ``None`` where it meets all."""
    for name, most in limits.items():
        value = float(getattr(cost, name))
        if value > most:
            return f"{name} {value:.4g} is above the limit {most:.4g}"
    return None
