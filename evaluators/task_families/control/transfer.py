"""How well policies do on contexts that they were not trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from .environments import Environment, Physics
from .policies import Policies


@torch.no_grad()
def transfer_matrix(
    environment: Environment,
    policies: Policies,
    physics: Physics,
    inputs: Tensor,
    *,
    episodes: int,
    seed: int,
) -> Tensor:
    """Mean returns of every policy on every context, between 0 (worst) and 1 (best possible).

    Args:
        environment: What is controlled.
        policies: One a source; the most probable action is taken.
        physics: Each quantity of the contexts ``[contexts]``.
        inputs: What a policy is told of each context ``[contexts, c]``.
        episodes: So many a cell; the same initial states for every policy.
        seed: Decides the initial states.

    Returns:
        ``[sources, contexts]``.
    """
    device = inputs.device
    generator = torch.Generator(device).manual_seed(seed)
    contexts = len(inputs)
    start = environment.reset((contexts, episodes), generator)
    rows = []
    for source in range(len(policies)):
        one = policies.of([source])
        rows.append(_returns(environment, one, physics, inputs, start))
    returns = torch.stack(rows)
    return (returns - environment.worst) / (environment.best - environment.worst)


def _returns(
    environment: Environment, policy: Policies, physics: Physics, inputs: Tensor, start: Tensor
) -> Tensor:
    contexts, episodes = start.shape[:2]
    told = inputs[:, None].expand(-1, episodes, -1).flatten(0, 1)
    state = start.flatten(0, 1)
    quantities = {name: value.repeat_interleave(episodes) for name, value in physics.items()}
    total = torch.zeros(contexts * episodes, device=inputs.device)
    running = torch.arange(contexts * episodes, device=inputs.device)
    for _ in range(environment.horizon):
        seen = torch.cat([environment.observe(state), told], dim=-1)
        state, reward, ended = environment.step(state, policy.best(seen[None])[0], quantities)
        total[running] += reward
        if bool(ended.any()):
            going = ~ended
            running, state, told = running[going], state[going], told[going]
            quantities = {name: value[going] for name, value in quantities.items()}
            if not len(running):
                break
    return total.view(contexts, episodes).mean(1)
