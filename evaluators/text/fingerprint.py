"""A fingerprint of a task of texts: plain facts, and how the frozen backbone sees its classes."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..finetuning.fingerprint import class_statistics
from .tokens import Tokens

NAMES = (
    "log_examples",
    "log_classes",
    "class_entropy",
    "pairs",
    "log_length",
    "length_spread",
    "effective_rank",
    "between_classes",
    "probe_lift",
    "probe_loss",
)
"""What each number is; see `text_statistics`."""


def text_statistics(tokens: Tokens, features: Tensor, classes: int) -> dict[str, float]:
    """Numbers that describe a task, all of the order of 1.

    Args:
        tokens: The training texts.
        features: The frozen backbone's, ``[n, D]``.
        classes: How many there are.

    Returns:
        By `NAMES`: those of `class_statistics`; whether the texts are pairs; their mean length in
        tokens, in powers of ten; the lengths' deviation over their mean.
    """
    lengths = np.array(tokens.lengths, dtype=float)
    statistics = class_statistics(tokens.labels, features, classes) | {
        "pairs": float(tokens.pairs),
        "log_length": float(np.log10(lengths.mean())),
        "length_spread": float(lengths.std() / lengths.mean()),
    }
    return {name: statistics[name] for name in NAMES}
