"""LST's ladder: gates mix what comes up with the backbone's states."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bequest.evaluators.peft.handle import Site
from bequest.evaluators.peft.methods.lst import Ladder
from tests.evaluators.peft.backbones import make_backbone


class Pass(nn.Module):
    def forward(self, z: Tensor, mask: Tensor | None) -> Tensor:
        return z


def ladder(temperature: float, **options: bool | int) -> Ladder:
    """Of identities: what it adds to the last state is the mix alone."""
    torch.manual_seed(0)
    made = Ladder(
        Site.of(make_backbone("bert")),
        reduction=1,
        temperature=temperature,
        every=int(options.get("every", 1)),
        backward=bool(options.get("backward", False)),
    )
    made.blocks = nn.ModuleList(Pass() for _ in made.blocks)
    for linear in (*made.downs, made.up):
        assert isinstance(linear, nn.Linear)
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    return made


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_the_mix_by_hand(temperature: float) -> None:
    made = ladder(temperature)
    made.gates.data = torch.tensor([0.2, -0.1, 0.0, 0.3])
    states = [torch.full((1, 1, 32), float(i)) for i in range(5)]
    z = 0.0
    for state, gate in enumerate([0.2, -0.1, 0.0, 0.3], 1):
        share = 1 / (1 + torch.tensor(-gate / temperature).exp())
        z = float(share * state + (1 - share) * z)
    assert torch.allclose(made(states, None), torch.full((1, 32), 4.0 + z), atol=1e-5)


def test_which_states_are_fed() -> None:
    assert ladder(1.0).fed == [0, 1, 2, 3, 4]
    assert ladder(1.0, every=2).fed == [0, 2, 4]
    assert ladder(1.0, backward=True).fed == [4, 3, 2, 1, 0]
