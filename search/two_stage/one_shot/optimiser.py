"""A vector with its optimiser: weights by SGD, alphas by Adam, as in DARTS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....common.errors import unknown_name

OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights and alphas move; the defaults are DARTS'.

    Attributes:
        weights: The learning rate of the weights, at the start of a schedule.
        alpha: That of the alphas.
        momentum, weight_decay: Of the weights; Adam has no momentum of this kind.
        alpha_decay: The alphas' weight decay.
        clip: The largest norm of a weights' gradient; ``None`` for no limit.
        alpha_optimizer: ``adam`` (betas .5 and .999) or ``sgd`` (plain).
        weights_optimizer: ``sgd``, or ``adam`` for graph networks, which learn slowly by SGD.

    Raises:
        UnknownNameError: An optimiser has another name.
    """

    weights: float = 0.025
    alpha: float = 3e-4
    momentum: float = 0.9
    weight_decay: float = 3e-4
    alpha_decay: float = 1e-3
    clip: float | None = 5.0
    alpha_optimizer: str = "adam"
    weights_optimizer: str = "sgd"

    def __post_init__(self) -> None:
        for what in ("alpha", "weights"):
            name = getattr(self, f"{what}_optimizer")
            if name not in OPTIMIZERS:
                raise unknown_name(f"optimiser of {what}", name, OPTIMIZERS)


class VectorOptimiser:
    """A vector with its optimiser.

    Args:
        start: ``[n]``; copied.
        optimizer: Makes the optimiser of the copy.
        clip: The largest norm of a gradient.
    """

    def __init__(self, start: Tensor, optimizer: Any, clip: float | None = None) -> None:
        self.value = start.detach().clone().requires_grad_()
        self.optimizer: torch.optim.Optimizer = optimizer([self.value])
        self.clip = clip

    @classmethod
    def of_weights(cls, start: Tensor, settings: OptimiserSettings) -> VectorOptimiser:
        """Weights ``[n]``."""

        def make(values: list[Tensor]) -> torch.optim.Optimizer:
            if settings.weights_optimizer == "adam":
                return torch.optim.Adam(
                    values, settings.weights, weight_decay=settings.weight_decay
                )
            return torch.optim.SGD(
                values,
                settings.weights,
                momentum=settings.momentum,
                weight_decay=settings.weight_decay,
            )

        return cls(start, make, settings.clip)

    @classmethod
    def of_alpha(cls, start: Tensor, settings: OptimiserSettings) -> VectorOptimiser:
        """Alphas ``[m]``."""
        rate, decay = settings.alpha, settings.alpha_decay

        def make(values: list[Tensor]) -> torch.optim.Optimizer:
            if settings.alpha_optimizer == "sgd":
                return torch.optim.SGD(values, rate, weight_decay=decay)
            return torch.optim.Adam(values, rate, betas=(0.5, 0.999), weight_decay=decay)

        return cls(start, make)

    def move(self, gradient: Tensor) -> None:
        """One step down a gradient ``[n]``."""
        if self.clip is not None:
            norm = gradient.norm()
            gradient = gradient * (self.clip / norm.clamp(min=self.clip))
        self.value.grad = gradient
        self.optimizer.step()
        self.value.grad = None

    @property
    def rate(self) -> float:
        """The learning rate now."""
        return float(self.optimizer.param_groups[0]["lr"])

    @rate.setter
    def rate(self, rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = rate

    def state(self) -> dict[str, Any]:
        """A state from which `load` continues exactly."""
        return {"value": self.value.detach().clone(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        with torch.no_grad():
            self.value.copy_(state["value"])
        self.optimizer.load_state_dict(state["optimizer"])
