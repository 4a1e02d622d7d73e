"""A task ready for trainings: its parts, and the frozen backbone's features and states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from torch import Tensor, device, nn

from ..peft.handle import Handle
from ..peft.registry import attach
from .batches import Examples, FrozenStates, pooled_features
from .network import solve_probe

PARTS = ("train", "validation", "test")

Part = TypeVar("Part", bound=Examples)


class Prepared(Generic[Part]):
    """A task's parts for one seed, and the frozen backbone's features of them, computed once.

    Args:
        parts: The examples by `PARTS`.
        whole_test: Gives all of the test part; trials are tested on some of it.
        model: The backbone, untouched.
        classes: How many there are.
        device: Where the backbone runs.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        whole_test: Callable[[], Part],
        model: nn.Module,
        classes: int,
        device: device,
    ) -> None:
        self.parts, self.model = dict(parts), model
        self.classes, self.device = classes, device
        self._whole_test = whole_test
        self._features: dict[str, Tensor] = {}
        self._states: dict[str, FrozenStates | None] = {}

    @cached_property
    def whole_test(self) -> Part:
        """All examples of the test part."""
        return self._whole_test()

    def probe(self, examples: Examples, key: str, regularisation: float) -> tuple[Tensor, Tensor]:
        """A probe's weight and bias."""
        features = self.features(examples, key)
        return solve_probe(features, examples.labels, self.classes, regularisation)

    def features(self, examples: Examples, key: str) -> Tensor:
        """The frozen backbone's features ``[n, D]``; kept where the examples have a key."""
        if key in self._features:
            return self._features[key]
        handle = attach(self.model.to(self.device), "probe")
        features = pooled_features(handle, examples)
        handle.remove()
        if key:
            self._features[key] = features
        return features

    def states(self, handle: Handle, examples: Examples, key: str) -> FrozenStates | None:
        """The stored states, where a method reads nothing else and they fit into memory."""
        arch = handle.site.arch
        if not (handle.readout.needs_states and handle.leaves_backbone):
            return None
        if not FrozenStates.fits(examples, len(arch.layers), arch.width):
            return None
        if not key or key not in self._states:
            states = FrozenStates(handle, examples)
            if not key:
                return states
            self._states[key] = states
        return self._states[key]
