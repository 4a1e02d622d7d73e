"""The base of the optimisers of one-shot search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .optimiser import OptimiserSettings, VectorOptimiser
from .problem import Problem


@dataclass(frozen=True)
class Losses:
    """The two losses of one step, from the step's own passes."""

    train: float
    validation: float | None


class OneShotOptimiser(ABC):
    """Moves weights w and alphas down a problem's two losses.

    Args:
        problem: The losses.
        weights: The start of w, ``[n]``.
        alpha: The start of alpha, ``[m]``.
        settings: How they move.

    Attributes:
        optimisers: One for each vector, by name: ``w``, ``alpha`` and what a method adds.
    """

    def __init__(
        self, problem: Problem, weights: Tensor, alpha: Tensor, settings: OptimiserSettings
    ) -> None:
        self.problem = problem
        self.optimisers = {
            "w": VectorOptimiser.of_weights(weights, settings),
            "alpha": VectorOptimiser.of_alpha(alpha, settings),
        }

    @abstractmethod
    def step(self, train: Any, validation: Any, *, move_alpha: bool = True) -> Losses:
        """One step on a batch of each half; without ``move_alpha`` weights alone learn."""

    @property
    def w(self) -> Tensor:
        """The weights that learn from the train half, ``[n]``."""
        return self.optimisers["w"].value

    @property
    def alpha(self) -> Tensor:
        """``[m]``."""
        return self.optimisers["alpha"].value

    @property
    def judged(self) -> Tensor:
        """The weights with which the alphas are judged on the validation half, ``[n]``."""
        return self.w

    def set_rate(self, rate: float) -> None:
        """Give all weights another learning rate."""
        for name, optimiser in self.optimisers.items():
            if name != "alpha":
                optimiser.rate = rate

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which `load` continues exactly."""
        return {name: optimiser.state() for name, optimiser in self.optimisers.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for name, optimiser in self.optimisers.items():
            optimiser.load(state[name])


def gradient(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a loss by some vectors, in one backward pass."""
    return torch.autograd.grad(loss, of, materialize_grads=True)
