"""Families of control tasks that differ by a piece of physics, as published for MBTL.

Cho et al., *Model-Based Transfer Learning for Contextual Reinforcement Learning*, NeurIPS 2024:
each quantity from a tenth to ten times its standard value, 100 values, and policies that are told
the raw context.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ....common.errors import ConfigurationError, DataError, unknown_name
from ....common.threads import one_thread
from .environments import CartPole, Environment, MountainCar, Pendulum, physics_of
from .policies import Policies
from .ppo import PPO, train_policies
from .transfer import transfer_matrix

EPISODES = 20
"""Episodes a cell of a transfer matrix is the mean of."""

FARTHEST = 10.0
"""Contexts reach from the standard value divided by this to the value multiplied by it."""

STACK = 50
"""Sources that are trained at once."""


@dataclass(frozen=True)
class Setup:
    """What a family is made of.

    Attributes:
        environment: What is controlled.
        quantities: What the context sets, a dimension each.
        points: Values of each quantity.
        settings: How policies are trained.
    """

    environment: Environment
    quantities: tuple[str, ...]
    points: int
    settings: PPO


_BALANCE = PPO()
_SWING = PPO(rollout=128, minibatches=4, discount=0.9, trace=0.95, copies=8)
_CLIMB = PPO(copies=16, rollout=64, minibatches=4, discount=0.99, trace=0.98, entropy=0.01)

SETUPS = {
    "cartpole-mass": Setup(CartPole(), ("cart_mass",), 100, _BALANCE),
    "cartpole-length": Setup(CartPole(), ("pole_length",), 100, _BALANCE),
    "cartpole-pole-mass": Setup(CartPole(), ("pole_mass",), 100, _BALANCE),
    "cartpole": Setup(CartPole(), ("cart_mass", "pole_length", "pole_mass"), 5, _BALANCE),
    "pendulum-step": Setup(Pendulum(), ("time_step",), 100, _SWING),
    "pendulum-length": Setup(Pendulum(), ("length",), 100, _SWING),
    "pendulum-mass": Setup(Pendulum(), ("mass",), 100, _SWING),
    "mountain-car-gravity": Setup(MountainCar(), ("gravity",), 100, _CLIMB),
    "mountain-car-force": Setup(MountainCar(), ("force",), 100, _CLIMB),
}


class ControlFamily:
    """Control tasks that differ by a piece of physics.

    Args:
        name: One of `SETUPS`.
        points: Values of each quantity; by default as published.
        steps: Environment steps a source; by default 200,000.
        episodes: Episodes a cell of the matrix.
        seed: Decides the episodes in which policies are measured.
        device: Where to train; by default a GPU where there is one.

    Attributes:
        contexts: ``[N, d]``, raw values; the last dimension runs fastest.
        dimensions: What the contexts' dimensions are called.

    Raises:
        UnknownNameError: There is no family of that name.
        ConfigurationError: A number is not positive.
    """

    def __init__(
        self,
        name: str,
        *,
        points: int | None = None,
        steps: int | None = None,
        episodes: int = EPISODES,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        if name not in SETUPS:
            raise unknown_name("family", name, SETUPS)
        for what, number in (("points", points), ("steps", steps), ("episodes", episodes)):
            if number is not None and number < 1:
                raise ConfigurationError(f"{what} is {number}: give 1 or more")
        setup = SETUPS[name]
        self.name, self.dimensions = name, setup.quantities
        self.environment = setup.environment
        self.settings = setup.settings
        if steps is not None:
            self.settings = PPO(**{**vars(setup.settings), "steps": steps})
        self.episodes, self.seed = episodes, seed
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        axes = [
            np.linspace(1 / FARTHEST, FARTHEST, points or setup.points)
            * setup.environment.defaults[quantity]
            for quantity in setup.quantities
        ]
        self.contexts = np.array(list(itertools.product(*axes)))

    @property
    def conditions(self) -> dict[str, int]:
        """Another number of steps than the family's usual one."""
        usual = SETUPS[self.name].settings.steps
        return {} if self.settings.steps == usual else {"steps": self.settings.steps}

    def train(self, context: np.ndarray, seed: int = 0) -> Policies:
        """A policy for one context ``[d]``."""
        return self.train_many(context[None], seed)

    def train_many(
        self,
        contexts: np.ndarray,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Policies:
        """A policy for each of some contexts ``[sources, d]``, all trained at once."""
        told, physics = self._told(contexts)
        with one_thread(self.device.type):
            return train_policies(
                self.environment, physics, told, self.settings, seed=seed, progress=progress
            )

    def train_batch(self, contexts: np.ndarray, seed: int = 0) -> list[Policies]:
        """Policies for some contexts ``[q, d]``, trained at once, one by one."""
        together = self.train_many(contexts, seed)
        return [together.of([i]) for i in range(len(together))]

    def evaluate(self, model: Policies, contexts: np.ndarray) -> np.ndarray:
        """The mean return of one policy on each context ``[N]``: 0 worst, 1 best possible."""
        row: np.ndarray = self.matrix_of(model, contexts)[0]
        return row

    def matrix_of(self, policies: Policies, contexts: np.ndarray) -> np.ndarray:
        """The mean return of each policy on each context ``[sources, N]``."""
        told, physics = self._told(contexts)
        with one_thread(self.device.type):
            returns = transfer_matrix(
                self.environment,
                policies.to(self.device),
                physics,
                told,
                episodes=self.episodes,
                seed=self.seed,
            )
        matrix: np.ndarray = returns.double().cpu().numpy()
        return matrix

    def matrix(
        self, seed: int = 0, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """The whole transfer matrix ``[N, N]``: every context is a source.

        Args:
            seed: Of the training.
            progress: Takes (updates done, updates in all).
        """
        parts = math.ceil(len(self.contexts) / STACK)
        rows = []
        for part, sources in enumerate(np.array_split(self.contexts, parts)):

            def report(done: int, of: int, part: int = part) -> None:
                if progress is not None:
                    progress(part * of + done, parts * of)

            rows.append(self.matrix_of(self.train_many(sources, seed, report), self.contexts))
        return np.concatenate(rows)

    def _told(self, contexts: np.ndarray) -> tuple[Tensor, dict[str, Tensor]]:
        told = torch.tensor(contexts, dtype=torch.float32, device=self.device)
        quantities = dict(zip(self.dimensions, told.unbind(1), strict=True))
        return told, physics_of(self.environment, quantities, len(told))


def save_policies(policies: Policies, path: str | Path) -> None:
    """Write policies as one safetensors file."""
    tensors = {name: t.contiguous().cpu() for name, t in policies.tensors.items()}
    save_file(tensors, str(path), {"actions": str(policies.discrete)})


def load_policies(path: str | Path) -> Policies:
    """Read what `save_policies` has written.

    Raises:
        DataError: It is no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        tensors = load_file(str(path))
        with safe_open(str(path), "pt") as file:
            actions = int(file.metadata()["actions"])
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise DataError(f"{str(path)!r} holds no policies: {error!r}") from error
    return Policies(tensors, actions)
