"""Proximal policy optimisation of many sources at once: their weights lie in one stack.

Schulman et al., *Proximal Policy Optimization Algorithms* (arXiv 1707.06347), with the clipped
objective and generalised advantage estimation. Each source has networks, an optimiser state and
copies of its environment of its own; one batched product serves all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .environments import Environment, Physics
from .policies import Policies


@dataclass(frozen=True)
class PPO:
    """Settings of the training.

    Attributes:
        steps: Environment steps a source.
        copies: Copies of its environment that a source acts in at a time.
        rollout: Steps of each copy between two updates.
        epochs: Passes over a rollout.
        minibatches: Parts of a pass.
        learning_rate: At the start; it falls to 0 linearly.
        discount, trace: Of rewards, and of advantages.
        clip: How far the ratio of probabilities counts.
        entropy: The weight of the policy's entropy.
        width: Of the two hidden layers.
    """

    steps: int = 200_000
    copies: int = 8
    rollout: int = 32
    epochs: int = 5
    minibatches: int = 1
    learning_rate: float = 1e-3
    discount: float = 0.98
    trace: float = 0.8
    clip: float = 0.2
    entropy: float = 0.0
    width: int = 64


def train_policies(
    environment: Environment,
    physics: Physics,
    inputs: Tensor,
    settings: PPO,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Policies:
    """Train one policy a source.

    Args:
        environment: What is controlled.
        physics: Each quantity ``[sources]``.
        inputs: What a policy is told of its context, beside the observation ``[sources, c]``.
        settings: Of the training.
        seed: Decides initialisation, episodes and actions.
        progress: Takes (updates done, updates in all).
    """
    device = inputs.device
    generator = torch.Generator(device).manual_seed(seed)
    sources = len(inputs)
    width = environment.observations + inputs.shape[1]
    policies = Policies.fresh(sources, width, environment.actions, settings.width, generator)
    stack = [t.requires_grad_() for t in policies.tensors.values()]
    optimizer = torch.optim.Adam(stack, settings.learning_rate, eps=1e-5)
    copies = _Copies(environment, physics, inputs, settings.copies, generator)
    updates = max(1, settings.steps // (settings.copies * settings.rollout))
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (1 - update / updates)
        batch = _rollout(copies, policies, settings, generator)
        _update(policies, stack, optimizer, batch, settings, generator)
        if progress is not None:
            progress(update + 1, updates)
    return Policies({name: t.detach() for name, t in policies.tensors.items()}, policies.discrete)


class _Copies:
    """Copies of each source's environment, reset when an episode ends."""

    def __init__(
        self,
        environment: Environment,
        physics: Physics,
        inputs: Tensor,
        copies: int,
        generator: torch.Generator,
    ) -> None:
        self.environment, self.generator = environment, generator
        self.shape = (len(inputs), copies)
        self.physics = {name: value[:, None] for name, value in physics.items()}
        self.inputs = inputs[:, None].expand(-1, copies, -1)
        self.state = environment.reset(self.shape, generator)
        # Copies start at different times of their episodes, or all would be cut off together.
        ages = torch.rand(self.shape, generator=generator, device=inputs.device)
        self.age = (ages * environment.horizon).long()

    def observe(self) -> Tensor:
        return torch.cat([self.environment.observe(self.state), self.inputs], dim=-1)

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rewards, what is seen after the step, whether it ended, whether it was cut off."""
        state, reward, ended = self.environment.step(self.state, action, self.physics)
        self.age += 1
        cut = (self.age >= self.environment.horizon) & ~ended
        seen = torch.cat([self.environment.observe(state), self.inputs], dim=-1)
        over = ended | cut
        fresh = self.environment.reset(self.shape, self.generator)
        self.state = torch.where(over[..., None], fresh, state)
        self.age = torch.where(over, 0, self.age)
        return reward, seen, ended, cut


@dataclass
class _Batch:
    """A rollout, time and copies in one dimension: each ``[sources, n, ...]``."""

    seen: Tensor
    action: Tensor
    log_probability: Tensor
    advantage: Tensor
    target: Tensor


@torch.no_grad()
def _rollout(
    copies: _Copies, policies: Policies, settings: PPO, generator: torch.Generator
) -> _Batch:
    seen, actions, logs, rewards, values, following, stops, ends = ([] for _ in range(8))
    for _ in range(settings.rollout):
        now = copies.observe()
        action, log_probability = policies.sample(now, generator)
        reward, after, ended, cut = copies.step(action)
        seen.append(now)
        actions.append(action)
        logs.append(log_probability)
        rewards.append(reward)
        values.append(policies.values(now))
        following.append(policies.values(after))
        ends.append(ended)
        stops.append(ended | cut)
    advantages, carried = [], torch.zeros_like(rewards[0])
    for t in reversed(range(settings.rollout)):
        # An episode that was cut off goes on in expectation; one that ended has nothing to come.
        ahead = torch.where(ends[t], 0.0, following[t])
        surprise = rewards[t] + settings.discount * ahead - values[t]
        decay = settings.discount * settings.trace * (~stops[t])
        carried = surprise + decay * carried
        advantages.append(carried)
    advantage = torch.stack(advantages[::-1], dim=1).flatten(1, 2)
    return _Batch(
        torch.stack(seen, dim=1).flatten(1, 2),
        torch.stack(actions, dim=1).flatten(1, 2),
        torch.stack(logs, dim=1).flatten(1, 2),
        advantage,
        advantage + torch.stack(values, dim=1).flatten(1, 2),
    )


def _update(
    policies: Policies,
    stack: list[Tensor],
    optimizer: torch.optim.Optimizer,
    batch: _Batch,
    settings: PPO,
    generator: torch.Generator,
) -> None:
    n = batch.action.shape[1]
    for _ in range(settings.epochs):
        order = torch.randperm(n, generator=generator, device=batch.action.device)
        for part in order.chunk(settings.minibatches):
            advantage = batch.advantage[:, part]
            deviation = advantage.std(dim=1, keepdim=True) + 1e-8
            advantage = (advantage - advantage.mean(dim=1, keepdim=True)) / deviation
            log_probability, entropy = policies.judge(batch.seen[:, part], batch.action[:, part])
            ratio = (log_probability - batch.log_probability[:, part]).exp()
            clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
            gain = torch.minimum(ratio * advantage, clipped * advantage)
            values = policies.values(batch.seen[:, part])
            error = (values - batch.target[:, part]).square()
            loss = (0.5 * error - gain - settings.entropy * entropy).mean(dim=1)
            optimizer.zero_grad()
            # Sources share nothing: the sum's gradient is each one's own.
            loss.sum().backward()  # type: ignore[no-untyped-call]
            _clip_each(stack)
            optimizer.step()


def _clip_each(stack: list[Tensor], largest: float = 0.5) -> None:
    """Bound the norm of each source's own gradient."""
    gradients = [t.grad for t in stack if t.grad is not None]
    norms = sum(g.flatten(1).square().sum(1) for g in gradients)
    assert isinstance(norms, Tensor)
    factors = (largest / (norms.sqrt() + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g *= factors.view(-1, *[1] * (g.dim() - 1))
