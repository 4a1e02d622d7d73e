"""The readable side of a selection: which sources were trained, and which contexts they serve."""

from __future__ import annotations

from typing import Any

import numpy as np

from .selector import Selector
from .store import Source


class SelectionSummary:
    """A selection to be read; figures and MLflow need no more.

    Args:
        name: Of the selection.
        selector: It has been told every source.
        dimensions: What the dimensions of the contexts are called.
        identity: What the selection was begun with.
        sources: What was trained, in order.
    """

    def __init__(
        self,
        name: str,
        selector: Selector,
        dimensions: tuple[str, ...],
        identity: dict[str, Any],
        sources: list[Source],
    ) -> None:
        self.name, self.selector, self.dimensions = name, selector, dimensions
        self.identity, self.sources = identity, sources

    @property
    def contexts(self) -> np.ndarray:
        """``[N, d]``."""
        return self.selector.contexts

    @property
    def value(self) -> float:
        """V: the mean over the contexts of the best return that any trained source has there."""
        return self.selector.value

    @property
    def chosen(self) -> np.ndarray:
        """The contexts that were trained, in order ``[k, d]``."""
        return self.contexts[self.selector.trained]

    @property
    def assignment(self) -> np.ndarray:
        """Which trained source serves each context best: indices of contexts ``[N]``.

        -1 where a context was never evaluated.
        """
        rows = self.selector.rows
        if not len(rows):
            return np.full(self.selector.size, -1)
        best = np.where(np.isnan(rows), -np.inf, rows).argmax(0)
        serving = np.array(self.selector.trained)[best]
        return np.where(np.isnan(rows).all(0), -1, serving)
