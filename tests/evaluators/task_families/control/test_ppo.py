"""Proximal policy optimisation, its advantages and its update, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bequest.evaluators.task_families.control import ppo
from bequest.evaluators.task_families.control.policies import Policies
from bequest.evaluators.task_families.control.ppo import PPO

SETTINGS = PPO(copies=2, rollout=5, epochs=1, minibatches=1, discount=0.9, trace=0.7, width=8)


class Story:
    """Two copies of an environment that play a written story, whatever is done."""

    rewards = torch.tensor([[1.0, 0.0], [0.5, 2.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.5]])
    ended = torch.tensor([[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]]).bool()
    cut = torch.tensor([[0, 0], [0, 0], [0, 1], [0, 0], [0, 0]]).bool()

    def __init__(self) -> None:
        self.time = 0

    def observe(self) -> Tensor:
        return torch.full((1, 2, 1), float(self.time))

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        t = self.time
        self.time += 1
        rows = (self.rewards[t], self.observe(), self.ended[t], self.cut[t])
        reward, seen, ended, cut = rows
        return reward[None], seen, ended[None], cut[None]


class Fixed:
    """Policies whose values are known: ``1 + t / 10`` of what is seen at time t."""

    def sample(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.zeros(x.shape[:2], dtype=torch.long), torch.zeros(x.shape[:2])

    def values(self, x: Tensor) -> Tensor:
        return 1 + x.squeeze(-1) / 10


def advantages_by_hand(discount: float, trace: float) -> Tensor:
    """``sum_k (discount trace)^k surprise_(t + k)`` up to the end of the episode ``[2, 5]``."""
    story, result = Story(), torch.zeros(2, 5)
    for copy in range(2):
        surprises, stops = [], []
        for t in range(5):
            ahead = 0.0 if story.ended[t, copy] else 1 + (t + 1) / 10
            value = 1 + t / 10
            surprises.append(float(story.rewards[t, copy]) + discount * ahead - value)
            stops.append(bool(story.ended[t, copy] | story.cut[t, copy]))
        for t in range(5):
            for k in range(5 - t):
                result[copy, t] += (discount * trace) ** k * surprises[t + k]
                if stops[t + k]:
                    break
    return result


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_advantages_by_hand(discount: float, trace: float) -> None:
    settings = replace(SETTINGS, discount=discount, trace=trace)
    played: Any = ppo._rollout(Story(), Fixed(), settings, torch.Generator())  # type: ignore[arg-type]
    expected = advantages_by_hand(discount, trace)
    ours = played.advantage.view(5, 2).T
    assert torch.allclose(ours, expected, atol=1e-5)
    values = 1 + torch.arange(5.0) / 10
    assert torch.allclose(played.target.view(5, 2).T, expected + values, atol=1e-5)


# The update ---------------------------------------------------------------------------------------


def policies(actions: int = 3) -> Policies:
    made = Policies.fresh(1, 2, actions, 8, torch.Generator().manual_seed(0))
    made.tensors["policy_w2"] *= 100  # decided: entropy can rise and fall
    return made


def batch(made: Policies, advantage: Tensor | None = None, shift: float = 0.0) -> Any:
    """What 12 steps saw; values were as predicted, and probabilities off by a factor."""
    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(1, 12, 2, generator=generator)
    action, log_probability = made.sample(seen, generator)
    advantage = torch.zeros(1, 12) if advantage is None else advantage
    return ppo._Batch(
        seen, action, log_probability - shift * advantage.sign(), advantage, made.values(seen)
    )


def updated(
    settings: PPO, *, advantage: Tensor | None = None, shift: float = 0.0, rate: float = 1e-3
) -> tuple[Policies, Policies, Any]:
    """Policies before and after one update by gradient descent, and what they learned from."""
    made, before = policies(), policies()
    given = batch(before, advantage, shift)
    stack = [t.requires_grad_() for t in made.tensors.values()]
    optimizer = torch.optim.SGD(stack, rate)
    ppo._update(made, stack, optimizer, given, settings, torch.Generator().manual_seed(2))
    return before, Policies({n: t.detach() for n, t in made.tensors.items()}, 3), given


def entropy(made: Policies, given: Any) -> float:
    return float(made.judge(given.seen, given.action)[1].mean())


def changed(before: Policies, after: Policies, part: str) -> bool:
    names = [name for name in before.tensors if name.startswith(part)]
    return any(not torch.equal(before.tensors[n], after.tensors[n]) for n in names)


def test_a_weight_on_entropy_raises_it() -> None:
    before, after, given = updated(replace(SETTINGS, entropy=1.0), rate=1e-2)
    assert entropy(after, given) > entropy(before, given) + 1e-5
    before, after, _ = updated(replace(SETTINGS, entropy=0.0))
    assert not changed(before, after, "policy")


def ups_and_downs() -> Tensor:
    return torch.tensor([[1.0, -1.0] * 6])


def test_an_action_of_advantage_becomes_more_probable() -> None:
    before, after, given = updated(SETTINGS, advantage=ups_and_downs(), rate=1e-2)
    gains = after.judge(given.seen, given.action)[0] - before.judge(given.seen, given.action)[0]
    assert float((gains * given.advantage).mean()) > 1e-5


def test_what_has_moved_far_enough_already_has_no_gradient() -> None:
    """Probabilities have risen by more than the clip where that is good, and fallen elsewhere."""
    before, after, _ = updated(SETTINGS, advantage=ups_and_downs(), shift=1.0)
    assert not changed(before, after, "policy")
    before, after, _ = updated(replace(SETTINGS, clip=2.0), advantage=ups_and_downs(), shift=1.0)
    assert changed(before, after, "policy")
    before, after, _ = updated(SETTINGS, advantage=ups_and_downs(), shift=-1.0)  # the wrong way
    assert changed(before, after, "policy")


def test_one_step_by_hand() -> None:
    settings = replace(SETTINGS, entropy=0.05, clip=0.2)
    generator = torch.Generator().manual_seed(3)
    advantage = torch.randn(1, 12, generator=generator)
    before, after, given = updated(settings, advantage=advantage, shift=0.1, rate=0.1)

    leaves = {n: t.clone().requires_grad_() for n, t in before.tensors.items()}
    made = Policies(leaves, 3)
    scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    logs = made.outputs("policy", given.seen).log_softmax(-1)
    chosen = logs.gather(-1, given.action[..., None]).squeeze(-1)
    ratio = (chosen - given.log_probability).exp()
    gain = torch.minimum(ratio * scaled, ratio.clamp(0.8, 1.2) * scaled)
    spread = -(logs.exp() * logs).sum(-1)
    error = 0.5 * (made.values(given.seen) - given.target).square()
    (error - gain - 0.05 * spread).mean().backward()
    gradients = {n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in leaves.items()}
    norm = torch.cat([g.flatten() for g in gradients.values()]).norm()
    factor = float((0.5 / norm).clamp(max=1.0))
    for name, tensor in before.tensors.items():
        expected = tensor - 0.1 * factor * gradients[name]
        assert torch.allclose(after.tensors[name], expected, atol=1e-5), name


def test_each_sources_gradient_is_bounded_for_itself() -> None:
    stack = [torch.zeros(2, 3), torch.zeros(2, 1)]
    for tensor in stack:
        tensor.grad = torch.ones_like(tensor)
        tensor.grad[1] *= 0.01
    ppo._clip_each(stack)
    norms = [torch.cat([t.grad[i].flatten() for t in stack]).norm() for i in range(2)]  # type: ignore[index]
    assert float(norms[0]) == pytest.approx(0.5, rel=1e-4)
    assert float(norms[1]) == pytest.approx(0.02, rel=1e-4)
