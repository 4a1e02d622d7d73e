"""Fantasies: running trials count as having the values that are predicted for them.

So a second worker, asking while the first still trains, is sent elsewhere: the mean of the
predictions stays as it was, their deviation shrinks around the running trials.

Source: Ginsbourger, Le Riche, Carraro, *Kriging Is Well-Suited to Parallelize Optimization*, 2010
("kriging believer").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .rows import Rows
from .two_way import TwoWayProcess


class Conditioned(Protocol):
    """A process that holds its observations, and can be conditioned on others."""

    x: Any
    y: Tensor

    def join(self, x: Any, more: Any) -> Any:
        """Inputs, then more of them."""

    def condition(self, x: Any, y: Tensor) -> None:
        """Observe values ``y [b, n]``."""

    def predict(self, x: Any) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation: two ``[b, m]``."""


@torch.no_grad()
def fantasize(process: Conditioned, x: Any) -> None:
    """Condition a process on what it predicts at inputs ``x [m]``, each setting on its own."""
    mean, _ = process.predict(x)
    process.condition(process.join(process.x, x), torch.cat([process.y, mean], dim=1))


def fantasize_rows(rows: Rows, sources: Sequence[int]) -> Rows:
    """Rows, and behind them those that a two-way process expects of sources."""
    expected = TwoWayProcess(rows).predict(np.array(sources))[0]
    more = rows.copy()
    for source, row in zip(sources, expected, strict=True):
        more.append(source, row)
    return more
