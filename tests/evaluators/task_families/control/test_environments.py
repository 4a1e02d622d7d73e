"""Step for step the environments of gymnasium, with standard and with other physics."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from bequest.evaluators.task_families.control.environments import (
    CartPole,
    Environment,
    MountainCar,
    Pendulum,
)

STEPS = 150


def reference(name: str, physics: dict[str, float]) -> Any:
    """Gymnasium's own environment with the same physics."""
    other = gymnasium.make(name).unwrapped
    if name == "CartPole-v1":
        other.gravity, other.tau = physics["gravity"], physics["time_step"]
        other.masscart, other.masspole = physics["cart_mass"], physics["pole_mass"]
        other.length, other.force_mag = physics["pole_length"], physics["force"]
        other.total_mass = other.masscart + other.masspole
        other.polemass_length = other.masspole * other.length
    elif name == "Pendulum-v1":
        other.g, other.m = physics["gravity"], physics["mass"]
        other.l, other.dt = physics["length"], physics["time_step"]
    else:
        other.gravity, other.force = physics["gravity"], physics["force"]
    return other


@pytest.mark.parametrize("scale", [1.0, 0.3, 4.0])
@pytest.mark.parametrize(
    ("environment", "name"),
    [(CartPole(), "CartPole-v1"), (Pendulum(), "Pendulum-v1"), (MountainCar(), "MountainCar-v0")],
)
def test_it_is_gymnasiums(environment: Environment, name: str, scale: float) -> None:
    physics = {key: value * scale for key, value in environment.defaults.items()}
    tensors = {k: torch.tensor(v, dtype=torch.float64) for k, v in physics.items()}
    other = reference(name, physics)
    rng = np.random.default_rng(0)
    other.reset(seed=0)
    state = torch.tensor(np.array(other.state), dtype=torch.float64)
    compared = 0
    for _ in range(STEPS):
        if environment.actions:
            action = int(rng.integers(environment.actions))
            given: Any = action
        else:
            action = float(rng.uniform(-3, 3))
            given = np.array([action])
        state, reward, ended = environment.step(state, torch.tensor(given).squeeze(), tensors)
        seen, their_reward, terminated, _, _ = other.step(given)
        assert state.numpy() == pytest.approx(np.array(other.state), abs=1e-12)
        assert float(reward) == pytest.approx(float(their_reward), abs=1e-12)
        assert bool(ended) == terminated
        assert environment.observe(state).numpy() == pytest.approx(seen, abs=1e-5)
        compared += 1
        if terminated:
            other.reset(seed=compared)
            state = torch.tensor(np.array(other.state), dtype=torch.float64)
    assert compared == STEPS


@pytest.mark.parametrize("environment", [CartPole(), Pendulum(), MountainCar()])
def test_copies_have_physics_of_their_own(environment: Environment) -> None:
    generator = torch.Generator().manual_seed(0)
    state = environment.reset((3, 5), generator)
    factors = torch.tensor([0.5, 1.0, 2.0])[:, None]
    physics = {k: v * factors for k, v in environment.defaults.items()}
    action = torch.ones(3, 5, dtype=torch.long if environment.actions else torch.float32)
    after, reward, ended = environment.step(state, action, physics)
    assert after.shape == state.shape
    assert reward.shape == ended.shape == (3, 5)
    for i, factor in enumerate((0.5, 1.0, 2.0)):
        own = {k: torch.tensor(v * factor) for k, v in environment.defaults.items()}
        alone = environment.step(state[i], action[i], own)[0]
        assert torch.allclose(alone, after[i])


def test_returns_lie_between_worst_and_best() -> None:
    assert CartPole.best == CartPole.horizon
    assert MountainCar.worst == -MountainCar.horizon
    generator = torch.Generator().manual_seed(0)
    environment = Pendulum()
    state = environment.reset((1000,), generator)
    state[:, 1] = 8.0
    physics = {k: torch.tensor(v) for k, v in environment.defaults.items()}
    _, reward, _ = environment.step(state, torch.full((1000,), 2.0), physics)
    assert (reward * environment.horizon).min() >= environment.worst
    assert (reward <= environment.best).all()
