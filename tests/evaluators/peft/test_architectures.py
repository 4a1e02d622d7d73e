"""Backbones that are built in other ways: taken as they are, or refused before any training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BeitConfig,
    BeitModel,
    CLIPTextConfig,
    CLIPTextModel,
    FalconConfig,
    FalconModel,
    MPNetConfig,
    MPNetModel,
)

from bequest.common.errors import ArchitectureError
from bequest.evaluators.peft import attach
from bequest.evaluators.peft.arch import describe_architecture
from bequest.evaluators.peft.attention import Attention, hook_attention

from .backbones import SIZES, FusedAttention, TimmLike, make_inputs, outputs


class RotaryAttention(FusedAttention):
    """As timm's in Eva and DINOv3: queries and keys are turned, with an argument that says how."""

    fused = True

    def forward(self, x: Tensor, rope: Tensor | None = None, attn_mask: Any = None) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        if rope is not None:
            query, key = query * rope, key * rope
        if self.fused:
            found = functional.scaled_dot_product_attention(query, key, value, attn_mask)
        else:
            found = (query @ key.transpose(-1, -2) * self.scale).softmax(-1) @ value
        return self.proj(found.transpose(1, 2).reshape(batch, length, width))


class Rotary(TimmLike):
    """Passes the turn to each block's attention."""

    def __init__(self) -> None:
        super().__init__()
        self.rope = nn.Identity()
        for block in self.blocks:
            block.attn = RotaryAttention(32, 4)

    def forward_features(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        turn = torch.linspace(-1, 1, 17)[:, None]
        mask = torch.ones(17, 17, dtype=torch.bool).tril()
        for block in self.blocks:
            tokens = tokens + block.attn(block.norm1(tokens), turn, mask)
            tokens = tokens + block.mlp(block.norm2(tokens))
        return self.norm(tokens)


@pytest.fixture
def rotary() -> Rotary:
    torch.manual_seed(0)
    return Rotary().eval()


def test_positions_and_masks_reach_an_attention_that_is_taken_over(rotary: Rotary) -> None:
    inputs = make_inputs("timm")
    before = outputs(rotary, inputs)
    seen = []

    def hook(attention: Any, go_on: Any) -> Tensor:
        seen.append(attention.bias)
        return go_on(attention)

    layers = describe_architecture(rotary).layers
    undo = [hook_attention(rotary, layer, hook) for layer in layers]
    torch.testing.assert_close(outputs(rotary, inputs), before)
    assert len(seen) == 4
    assert torch.equal(seen[0].isinf(), torch.ones(1, 1, 17, 17, dtype=torch.bool).triu(1))
    for take_off in undo:
        take_off()
    assert torch.equal(outputs(rotary, inputs), before)


@pytest.mark.parametrize("method", ["prefix", "vqt", "apt", "mam"])
def test_methods_beside_attention_train_on_rotary_positions(rotary: Rotary, method: str) -> None:
    inputs = make_inputs("timm")
    before = outputs(rotary, inputs)
    handle = attach(rotary, method)
    features = handle.features(inputs)
    (features * torch.randn_like(features)).sum().backward()
    assert all(p.grad is not None for p in handle.trainable_parameters())
    handle.remove()
    assert torch.equal(outputs(rotary, inputs), before)


def test_a_prompt_has_no_place_among_rotary_positions(rotary: Rotary) -> None:
    with pytest.raises(ArchitectureError, match=r"knows the place of each patch.*use 'prefix'"):
        attach(rotary, "prompt")


def test_an_attention_of_its_own_arithmetic_says_so(rotary: Rotary) -> None:
    for block in rotary.blocks:
        block.attn.fused = False
    handle = attach(rotary, "prefix")
    with pytest.raises(ArchitectureError, match="scaled_dot_product_attention 0 times"):
        handle.features(make_inputs("timm"))


def test_a_projection_that_is_not_called_is_refused() -> None:
    model = TimmLike()
    for block in model.blocks:
        block.attn.q_bias = nn.Parameter(torch.zeros(32))
    with pytest.raises(ArchitectureError, match=r"biases of its own \(q_bias\)"):
        attach(model, "lora")


def test_attention_among_convolutions_is_refused() -> None:
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.Sequential(nn.Conv2d(3, 3, 3), TimmLike().blocks)

        def forward_features(self, x: Tensor) -> Tensor:
            return self.stages(x)

    with pytest.raises(ArchitectureError, match="no list of transformer blocks"):
        attach(Mixture(), "probe")


@pytest.mark.parametrize("method", ["prefix", "apt", "mam", "p-adapter"])
def test_an_attention_that_would_go_on_as_before_is_refused(method: str) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = FalconModel(FalconConfig(vocab_size=50, **sizes)).eval()
    with pytest.raises(ArchitectureError, match="attention of FalconModel"):
        attach(model, method)


@pytest.mark.parametrize("method", ["prompt", "dept"])
def test_prompts_need_a_backbone_that_takes_embeddings(method: str) -> None:
    model = CLIPTextModel(CLIPTextConfig(vocab_size=50, eos_token_id=49, **SIZES))
    with pytest.raises(ArchitectureError, match="CLIPTextModel takes word ids alone"):
        attach(model, method)


def test_prompts_have_no_place_among_relative_positions() -> None:
    config = BeitConfig(image_size=16, patch_size=8, use_relative_position_bias=True, **SIZES)
    with pytest.raises(ArchitectureError, match="knows the place of each patch"):
        attach(BeitModel(config), "prompt")


def test_a_block_that_gives_a_tuple_is_skipped() -> None:
    torch.manual_seed(0)
    model = MPNetModel(MPNetConfig(vocab_size=50, **SIZES)).eval()
    inputs = make_inputs("bert")
    before = outputs(model, inputs)
    handle = attach(model, "das", skip=2)
    assert handle.features(inputs).shape == (3, 32)
    handle.remove()
    assert torch.equal(outputs(model, inputs), before)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_its_weights_times_the_values(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(3))
    bias = torch.randn(1, 1, 4, 4, generator=generator) if masked else None
    attention = Attention(query, key, value, bias, scale=0.5)
    assert torch.allclose(attention.attend(), attention.weights() @ value, atol=1e-6)
    assert torch.allclose(attention.weights().sum(-1), torch.ones(2, 3, 4))
