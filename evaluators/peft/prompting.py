"""Where a prompt goes in: before the words' embeddings, or behind an image's class token."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from ...common.errors import ArchitectureError
from .handle import Site
from .hooks import Hooks

FIXED = {"rope", "rel_pos_bias", "relative_position_bias"}
"""Modules, by name, that give attention a position for every patch (timm's DINOv3, BEiT)."""


class Prompt(nn.Module):
    """``m`` positions ``[m, D]``."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.positions = nn.Parameter(start.clone())

    def forward(self, batch: int) -> Tensor:
        """``[batch, m, D]``."""
        return self.positions.repeat(batch, 1, 1)


def initial_prompt(site: Site, length: int) -> Tensor:
    """Positions ``[m, D]``: embeddings of drawn words, or small noise before images."""
    if site.arch.embeddings is None:
        return 0.02 * torch.randn(length, site.width)
    words = site.model.get_submodule(site.arch.embeddings).weight
    assert isinstance(words, Tensor)
    return words.detach()[torch.randint(len(words), (length,))].clone()


def attach_prompt(
    site: Site,
    hooks: Hooks,
    length: int,
    change: Callable[[Tensor], Tensor] | None = None,
    start: Tensor | None = None,
) -> Prompt:
    """Put a new prompt before the input; ``change`` rewrites the input's own embeddings."""
    prompt = Prompt(initial_prompt(site, length) if start is None else start)
    insert_prompt(site, hooks, prompt, change)
    return prompt


def insert_prompt(
    site: Site, hooks: Hooks, prompt: nn.Module, change: Callable[[Tensor], Tensor] | None
) -> None:
    """Put a module that gives positions ``[B, m, D]`` before the input.

    Raises:
        ArchitectureError: The backbone's input has no place for them.
    """
    name = type(site.model).__name__
    if site.arch.embeddings is not None:
        if "inputs_embeds" not in signature(site.model.forward).parameters:
            raise ArchitectureError(
                f"{name} takes word ids alone, no embeddings that a prompt could go before: use "
                "'prefix' instead"
            )
        hooks.inputs(_before_words(site, prompt, change))
        return
    if any(path.rpartition(".")[2] in FIXED for path, _ in site.model.named_modules()):
        raise ArchitectureError(
            f"the attention of {name} knows the place of each patch, and a prompt has none: use "
            "'prefix' instead"
        )

    def insert(states: Tensor) -> Tensor:
        edge = 1 if site.arch.class_token else 0  # the class token stays first
        return torch.cat([states[:, :edge], prompt(len(states)), states[:, edge:]], dim=1)

    hooks.block_input(site.arch.layers[0].path, insert)


def _before_words(
    site: Site, prompt: nn.Module, change: Callable[[Tensor], Tensor] | None
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    words = site.model.get_submodule(site.arch.embeddings or "")

    def rewrite(inputs: dict[str, Any]) -> dict[str, Any]:
        rest = dict(inputs)
        embedded = words(rest.pop("input_ids"))
        if change is not None:
            embedded = change(embedded)
        positions = prompt(len(embedded))
        rest["inputs_embeds"] = torch.cat([positions, embedded], dim=1)
        for name, fill in (("attention_mask", 1), ("token_type_ids", 0)):
            if rest.get(name) is not None:
                rest[name] = nn.functional.pad(rest[name], (positions.shape[1], 0), value=fill)
        return rest

    return rewrite
