"""Classic control problems as batched, pure functions of tensors; their physics is the context.

Step for step the environments of gymnasium (a test holds each to it), for any number of copies at a
time, each with physics of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from torch import Tensor

Physics = Mapping[str, Tensor]
"""What a context sets, by name; each broadcasts against a batch of copies."""


class Environment(Protocol):
    """One control problem.

    Attributes:
        defaults: Every physical quantity that a context may set, at its standard value.
        observations: Numbers in an observation.
        actions: Discrete actions, or 0 where an action is one number.
        horizon: Steps after which an episode is cut off.
        worst, best: Between these lies the return of an episode.
    """

    defaults: ClassVar[Mapping[str, float]]
    observations: ClassVar[int]
    actions: ClassVar[int]
    horizon: ClassVar[int]
    worst: ClassVar[float]
    best: ClassVar[float]

    def reset(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Fresh states ``[*shape, state]``."""

    def observe(self, state: Tensor) -> Tensor:
        """``[*batch, observations]`` of states ``[*batch, state]``."""

    def step(
        self, state: Tensor, action: Tensor, physics: Physics
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step.

        Args:
            state: ``[*batch, state]``.
            action: ``[*batch]``, whole numbers or real ones.
            physics: Each quantity ``[*batch]``, or anything that broadcasts to it.

        Returns:
            The next states, the rewards ``[*batch]``, and whether the episode ended ``[*batch]``.
        """


class CartPole:
    """Balance a pole on a cart: a reward of 1 for each step until it falls."""

    defaults: ClassVar[Mapping[str, float]] = {
        "gravity": 9.8,
        "cart_mass": 1.0,
        "pole_mass": 0.1,
        "pole_length": 0.5,
        "force": 10.0,
        "time_step": 0.02,
    }
    observations: ClassVar[int] = 4
    actions: ClassVar[int] = 2
    horizon: ClassVar[int] = 500
    worst: ClassVar[float] = 0.0
    best: ClassVar[float] = 500.0

    FARTHEST, STEEPEST = 2.4, 12 * 2 * math.pi / 360

    def reset(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return _uniform((*shape, 4), -0.05, 0.05, generator)

    def observe(self, state: Tensor) -> Tensor:
        return state

    def step(
        self, state: Tensor, action: Tensor, physics: Physics
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, speed, angle, turning = state.unbind(-1)
        length, pole = physics["pole_length"], physics["pole_mass"]
        mass, tau = pole + physics["cart_mass"], physics["time_step"]
        force = torch.where(action == 1, physics["force"], -physics["force"])
        cosine, sine = angle.cos(), angle.sin()
        pushed = (force + pole * length * turning.square() * sine) / mass
        angular = (physics["gravity"] * sine - cosine * pushed) / (
            length * (4.0 / 3.0 - pole * cosine.square() / mass)
        )
        linear = pushed - pole * length * angular * cosine / mass
        after = torch.stack(
            [x + tau * speed, speed + tau * linear, angle + tau * turning, turning + tau * angular],
            dim=-1,
        )
        fallen = (after[..., 0].abs() > self.FARTHEST) | (after[..., 2].abs() > self.STEEPEST)
        return after, torch.ones_like(x), fallen


class Pendulum:
    """Swing a pendulum up and keep it there: the cost is angle, speed and torque."""

    defaults: ClassVar[Mapping[str, float]] = {
        "gravity": 10.0,
        "mass": 1.0,
        "length": 1.0,
        "time_step": 0.05,
    }
    observations: ClassVar[int] = 3
    actions: ClassVar[int] = 0
    horizon: ClassVar[int] = 200
    worst: ClassVar[float] = -200 * (math.pi**2 + 0.1 * 64 + 0.001 * 4)
    best: ClassVar[float] = 0.0

    TORQUE, FASTEST = 2.0, 8.0

    def reset(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        drawn = _uniform((*shape, 2), -1.0, 1.0, generator)
        return drawn * torch.tensor([math.pi, 1.0], device=drawn.device)

    def observe(self, state: Tensor) -> Tensor:
        angle, turning = state.unbind(-1)
        return torch.stack([angle.cos(), angle.sin(), turning], dim=-1)

    def step(
        self, state: Tensor, action: Tensor, physics: Physics
    ) -> tuple[Tensor, Tensor, Tensor]:
        angle, turning = state.unbind(-1)
        mass, length, tau = physics["mass"], physics["length"], physics["time_step"]
        torque = action.clamp(-self.TORQUE, self.TORQUE)
        wrapped = (angle + math.pi) % (2 * math.pi) - math.pi
        cost = wrapped.square() + 0.1 * turning.square() + 0.001 * torque.square()
        pull = 3 * physics["gravity"] / (2 * length) * angle.sin()
        faster = turning + (pull + 3.0 / (mass * length**2) * torque) * tau
        faster = faster.clamp(-self.FASTEST, self.FASTEST)
        after = torch.stack([angle + faster * tau, faster], dim=-1)
        return after, -cost, torch.zeros_like(angle, dtype=torch.bool)


class MountainCar:
    """Rock a weak car up a hill: a reward of -1 for each step until it is there."""

    defaults: ClassVar[Mapping[str, float]] = {"gravity": 0.0025, "force": 0.001}
    observations: ClassVar[int] = 2
    actions: ClassVar[int] = 3
    horizon: ClassVar[int] = 200
    worst: ClassVar[float] = -200.0
    best: ClassVar[float] = 0.0

    LEFT, RIGHT, GOAL, FASTEST = -1.2, 0.6, 0.5, 0.07

    def reset(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        position = _uniform(shape, -0.6, -0.4, generator)
        return torch.stack([position, torch.zeros_like(position)], dim=-1)

    def observe(self, state: Tensor) -> Tensor:
        return state

    def step(
        self, state: Tensor, action: Tensor, physics: Physics
    ) -> tuple[Tensor, Tensor, Tensor]:
        position, speed = state.unbind(-1)
        pull = (3 * position).cos() * -physics["gravity"]
        speed = (speed + (action - 1) * physics["force"] + pull).clamp(-self.FASTEST, self.FASTEST)
        position = (position + speed).clamp(self.LEFT, self.RIGHT)
        speed = torch.where((position == self.LEFT) & (speed < 0), 0.0, speed)
        arrived = (position >= self.GOAL) & (speed >= 0)
        return torch.stack([position, speed], dim=-1), -torch.ones_like(position), arrived


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return low + (high - low) * drawn


def physics_of(
    environment: Environment, contexts: Mapping[str, Tensor], count: int
) -> dict[str, Tensor]:
    """Every quantity ``[count]``: what the contexts set, the standard value for the rest."""
    device = next(iter(contexts.values())).device
    return {
        name: contexts.get(name, torch.full((count,), value, device=device))
        for name, value in environment.defaults.items()
    }
