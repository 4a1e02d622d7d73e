"""How much a training on texts may cost."""

from __future__ import annotations

from dataclasses import dataclass

from ..finetuning.training import TuningBudget


@dataclass(frozen=True)
class TextBudget(TuningBudget):
    """How much a training may cost; the defaults fit a CPU.

    Attributes:
        epochs: Passes over the training texts.
        examples: At most so many training texts, and half as many for validation; ``None`` for all.
        length: Tokens after which a text is cut.
    """

    length: int = 128
