"""A task of texts, ready for trainings: tokens, and the frozen backbone's features and states."""

from __future__ import annotations

from functools import cached_property

import torch

from ..peft.handle import Handle
from ..peft.registry import attach
from .backbones import Backbone
from .batches import FrozenStates, Tokens, pooled_features
from .network import solve_probe
from .tasks import TextClassification
from .training import TextBudget

PARTS = ("train", "validation", "test")


class Prepared:
    """A task's parts for one seed: tokens, and what the frozen backbone says of them, once.

    Args:
        task: What is predicted.
        backbone: Untouched.
        budget: How many examples, and how long.
        seed: Draws the split.
        device: Where the backbone runs.
    """

    def __init__(
        self,
        task: TextClassification,
        backbone: Backbone,
        budget: TextBudget,
        seed: int,
        device: torch.device,
    ) -> None:
        self.backbone, self.budget = backbone, budget
        self.classes = len(task.classes)
        self.device = device
        texts = task.parts(seed, budget.examples)
        self.tokens = {part: Tokens.of(texts[part], self.backbone, budget.length) for part in PARTS}
        self._whole = (task, seed)
        self._features: dict[str, torch.Tensor] = {}
        self._states: dict[str, FrozenStates | None] = {}

    @cached_property
    def whole_test(self) -> Tokens:
        """All texts of the test part; trials are tested on some of them."""
        task, seed = self._whole
        return Tokens.of(task.parts(seed)["test"], self.backbone, self.budget.length)

    def probe(
        self, tokens: Tokens, key: str, regularisation: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A probe's weight and bias."""
        features = self.features(tokens, key)
        return solve_probe(features, tokens.labels, self.classes, regularisation)

    def features(self, tokens: Tokens, key: str) -> torch.Tensor:
        """The frozen backbone's features ``[n, D]``; kept where the texts have a key."""
        if key in self._features:
            return self._features[key]
        handle = attach(self.backbone.model.to(self.device), "probe")
        features = pooled_features(handle, tokens, self.backbone)
        handle.remove()
        if key:
            self._features[key] = features
        return features

    def states(self, handle: Handle, tokens: Tokens, key: str) -> FrozenStates | None:
        """The kept states, where a method reads nothing else and they fit."""
        arch = handle.site.arch
        if not (handle.readout.needs_states and handle.leaves_backbone):
            return None
        if not FrozenStates.fits(tokens, len(arch.layers), arch.width):
            return None
        if not key or key not in self._states:
            found = FrozenStates(handle, tokens, self.backbone)
            if not key:
                return found
            self._states[key] = found
        return self._states[key]
