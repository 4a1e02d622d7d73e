"""LST's ladder: gates mix what comes up with the backbone's states."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bequest.evaluators.peft.handle import Site
from bequest.evaluators.peft.methods.lst import Ladder, SideBlock
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


@pytest.mark.parametrize("masked", [False, True])
def test_a_block_is_torchs_normalised_before_each_part(masked: bool) -> None:
    torch.manual_seed(0)
    block = SideBlock(8, 2)
    layer = nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    own = dict(block.named_parameters())
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj.": "output.",
        "linear1.": "up.",
        "linear2.": "down.",
        "norm1.": "before_attention.",
        "norm2.": "before_ffn.",
    }
    for theirs, ours in names.items():
        for part in ("weight", "bias"):
            layer.get_parameter(theirs + part).data = own[ours + part].data
    z = torch.randn(3, 5, 8)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]) if masked else None
    found = block(z, mask)
    expected = layer(z, src_key_padding_mask=None if mask is None else mask == 0)
    seen = slice(None) if mask is None else mask.bool()
    assert torch.allclose(found[seen], expected[seen], atol=1e-5)
