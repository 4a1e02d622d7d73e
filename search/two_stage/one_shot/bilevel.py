"""What the optimisers of relaxed search share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .optimiser import Learner, Rates
from .problem import Problem


@dataclass(frozen=True)
class Losses:
    """The two losses of one step, as the step's own passes saw them."""

    train: float
    validation: float | None


class RelaxedOptimiser(ABC):
    """Moves weights w and alphas down a problem's two losses.

    Args:
        problem: The losses.
        weights: The start of w, ``[n]``.
        alpha: The start of alpha, ``[m]``.
        rates: How they move.

    Attributes:
        learners: Every vector that learns, by name: ``w``, ``alpha`` and what a method adds.
    """

    def __init__(self, problem: Problem, weights: Tensor, alpha: Tensor, rates: Rates) -> None:
        self.problem = problem
        self.learners = {
            "w": Learner.of_weights(weights, rates),
            "alpha": Learner.of_alpha(alpha, rates),
        }

    @abstractmethod
    def step(self, train: Any, validation: Any, *, move_alpha: bool = True) -> Losses:
        """One step on a batch of each half; without ``move_alpha`` weights alone learn."""

    @property
    def w(self) -> Tensor:
        """The weights that learn from the train half, ``[n]``."""
        return self.learners["w"].value

    @property
    def alpha(self) -> Tensor:
        """``[m]``."""
        return self.learners["alpha"].value

    @property
    def judged(self) -> Tensor:
        """The weights with which the alphas are judged on the validation half, ``[n]``."""
        return self.w

    def set_rate(self, rate: float) -> None:
        """Give all weights another learning rate."""
        for name, learner in self.learners.items():
            if name != "alpha":
                learner.rate = rate

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on as if nothing had happened: tensors and plain values."""
        return {name: learner.state() for name, learner in self.learners.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take a state on."""
        for name, learner in self.learners.items():
            learner.load(state[name])


def gradient(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a loss by some vectors, in one backward pass."""
    return torch.autograd.grad(loss, of, materialize_grads=True)
