"""Policies, held against torch's distributions."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Normal

from bequest.evaluators.task_families.control.policies import Policies


def policies(discrete: bool) -> Policies:
    generator = torch.Generator().manual_seed(0)
    made = Policies.fresh(3, 4, 2 if discrete else 0, 8, generator)
    if not discrete:
        made.tensors["log_deviation"] = torch.tensor([[-0.5], [0.0], [0.7]])
    return made


@pytest.mark.parametrize("discrete", [True, False])
def test_actions_are_judged_as_torch_does(discrete: bool) -> None:
    made = policies(discrete)
    x = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
    outputs = made.outputs("policy", x)
    expected: torch.distributions.Distribution
    if discrete:
        expected = Categorical(logits=outputs)
    else:
        spread = made.tensors["log_deviation"].exp().expand(3, 6)
        expected = Normal(outputs.squeeze(-1), spread)
    action, log_probability = made.sample(x, torch.Generator().manual_seed(2))
    assert torch.allclose(log_probability, expected.log_prob(action), atol=1e-5)
    judged, entropy = made.judge(x, action)
    assert torch.allclose(judged, log_probability)
    assert torch.allclose(entropy, expected.entropy(), atol=1e-5)


def test_the_best_action_is_the_most_probable() -> None:
    x = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
    for discrete in (True, False):
        made = policies(discrete)
        best = made.judge(x, made.best(x))[0]
        for seed in range(5):
            sampled = made.sample(x, torch.Generator().manual_seed(seed))[1]
            assert (best >= sampled - 1e-6).all()
