"""Tiny random backbones of every kind, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    ElectraConfig,
    ElectraModel,
    GPT2Config,
    GPT2Model,
    GPTNeoXConfig,
    GPTNeoXModel,
    LlamaConfig,
    LlamaModel,
    Phi3Config,
    Phi3Model,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    ViTModel,
)

from bequest.evaluators.peft import Handle, attach
from bequest.testing.peft_methods import put as put_method

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


class FusedAttention(nn.Module):
    """Laid out as timm's ``Attention``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q_norm, self.k_norm = nn.Identity(), nn.Identity()
        self.attn_drop, self.proj_drop = nn.Dropout(0.0), nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(*parts)
        return self.proj(attended.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    """Laid out as timm's ``Mlp``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Laid out as timm's ``Block``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = FusedAttention(width, heads), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TimmLike(nn.Module):
    """Laid out as timm's ``VisionTransformer``, which is not installed for tests."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 32))
        self.blocks = nn.Sequential(*(Block(32, 4) for _ in range(4)))
        self.norm = nn.LayerNorm(32)

    def forward_features(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        return self.norm(self.blocks(tokens))


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "bert": lambda: BertModel(BertConfig(vocab_size=50, **SIZES)),
    "t5": lambda: T5EncoderModel(
        T5Config(vocab_size=50, d_model=32, d_kv=4, num_heads=4, num_layers=4, d_ff=64)
    ),
    "llama": lambda: LlamaModel(LlamaConfig(vocab_size=50, num_key_value_heads=2, **SIZES)),
    "phi3": lambda: Phi3Model(
        Phi3Config(vocab_size=50, num_key_value_heads=2, pad_token_id=0, **SIZES)
    ),
    "neox": lambda: GPTNeoXModel(GPTNeoXConfig(vocab_size=50, **SIZES)),
    "electra": lambda: ElectraModel(ElectraConfig(vocab_size=50, embedding_size=16, **SIZES)),
    "gpt2": lambda: GPT2Model(GPT2Config(vocab_size=50, n_embd=32, n_layer=4, n_head=4)),
    "vit": lambda: ViTModel(ViTConfig(image_size=32, patch_size=8, **SIZES)),
    "timm": TimmLike,
}


def make_backbone(kind: str) -> nn.Module:
    """A frozen-looking backbone, the same each time."""
    torch.manual_seed(0)
    return MAKERS[kind]().eval()


def make_inputs(kind: str) -> dict[str, Tensor]:
    """Three inputs; the first text is shorter than the others."""
    generator = torch.Generator().manual_seed(1)
    if kind in ("vit", "timm"):
        return {"pixel_values": torch.randn(3, 3, 32, 32, generator=generator)}
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[0, 5:] = 0
    return {
        "input_ids": torch.randint(5, 50, (3, 7), generator=generator),
        "attention_mask": mask,
    }


def outputs(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The last hidden states ``[B, S, D]``."""
    with torch.no_grad():
        if isinstance(model, TimmLike):
            return model.forward_features(inputs["pixel_values"])
        return model(**inputs).last_hidden_state


UNFIT = {("bitfit", "t5"), ("bitfit", "llama"), ("dept", "timm"), ("ia3", "timm")}
"""Methods, and kinds of backbones that they say they do not fit."""


def needed(method: str, model: nn.Module) -> dict[str, Any]:
    """Knobs without which a method makes no sense, sized for tiny backbones."""
    if method == "scalearn":
        source = attach(model, "adapter", bottleneck=8)
        torch.manual_seed(2)
        for parameter in source.trainable_parameters():
            nn.init.normal_(parameter, std=0.3)
        state = source.state()
        source.remove()
        return {"sources": [state, state]}
    small = {"bottleneck": 8}
    return {
        "adapter": small,
        "das": {**small, "skip": 2, "search_share": 1.0},
        "mam": {**small, "length": 3},
    }.get(method, {})


def put(method: str, model: nn.Module, seed: int = 3) -> Handle:
    """A method with the knobs that it needs on a tiny backbone, the same for a seed."""
    return put_method(method, model, needed(method, model), seed)
