"""Choosing sources one after another: ask which task to train on, tell how it transfers.

Contexts ``x_1 .. x_N`` are points in R^d. ``J[i, j]`` is the return on context j of what was
trained on context i; training one source reveals one row. After training S, the tasks are served by
``v(j) = max_{i in S} J[i, j]``, and the generalised performance is ``V(S) = mean_j v(j)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...common.errors import SelectionError

Contexts = np.ndarray | Sequence[Any]
Costs = np.ndarray | Sequence[float] | None


class Selector(ABC):
    """Picks the next source; a pure function of contexts, seed, budget and the rows told so far.

    Args:
        contexts: Where the tasks lie ``[N, d]`` (or ``[N]`` in one dimension); all are targets, and
            each may be a source. For a continuous range, give points that fill it.
        costs: What training on each context costs ``[N]``, in any unit; equal by default.
        seed: Of random draws.

    Attributes:
        contexts: ``[N, d]`` as they were given.
        points: ``[N, d]``, each dimension scaled to [0, 1].
        trained: The sources in the order in which they were told.
        rows: What was told ``[k, N]``; NaN where a source was not evaluated.
        expected_gain: The expected rise of V by the last source asked for (before costs); NaN for
            methods that expect none.

    Raises:
        SelectionError: There are no contexts, or they or the costs are not finite.
    """

    uses_costs = False
    """Whether ``costs`` change what is asked for."""

    uses_budget = False
    """Whether what is asked for depends on ``budget``."""

    budget: int | None = None
    """How many sources there will be in the end, failed ones included; None: not known."""

    def __init__(
        self,
        contexts: Contexts,
        *,
        costs: Costs = None,
        seed: int = 0,
    ) -> None:
        given = np.asarray(contexts, dtype=float)
        self.contexts = given[:, None] if given.ndim == 1 else given
        if self.contexts.ndim != 2 or self.contexts.size == 0:
            raise SelectionError(
                f"contexts of shape {given.shape}: give [N, d], one row for each context"
            )
        if not np.isfinite(self.contexts).all():
            raise SelectionError("the contexts hold NaN or infinite numbers: leave such tasks out")
        low, high = self.contexts.min(0), self.contexts.max(0)
        self.points = (self.contexts - low) / np.where(high > low, high - low, 1.0)
        self.costs = self._checked_costs(costs)
        self.seed = seed
        self.trained: list[int] = []
        self.failed: set[int] = set()
        self.expected_gain = float("nan")
        self._rows: list[np.ndarray] = []
        self._served = np.full(self.size, np.nan)

    def _checked_costs(self, costs: Costs) -> np.ndarray:
        if costs is None:
            return np.ones(self.size)
        if not self.uses_costs:
            raise SelectionError(f"{type(self).__name__} does not weigh costs: use TwoWaySelector")
        checked = np.asarray(costs, dtype=float)
        if checked.shape != (self.size,) or not (np.isfinite(checked) & (checked > 0)).all():
            raise SelectionError(f"costs must be {self.size} positive numbers, one a context")
        return checked

    def check_made_for(self, contexts: Contexts, costs: Costs) -> None:
        """Check that it was made for these contexts and, where they are given, costs.

        Raises:
            SelectionError: It was made for others.
        """
        given = np.asarray(contexts, dtype=float)
        if not np.array_equal(given.reshape(len(given), -1), self.contexts):
            raise SelectionError("the selector was made for other contexts: make it of these")
        if costs is not None and not np.array_equal(np.asarray(costs, dtype=float), self.costs):
            raise SelectionError("the selector has other costs: give them when it is made")

    @property
    def size(self) -> int:
        """How many contexts there are."""
        return len(self.contexts)

    @property
    def rows(self) -> np.ndarray:
        return np.array(self._rows).reshape(-1, self.size)

    @property
    def served(self) -> np.ndarray:
        """``v(j)``: the best return that any source has on each context ``[N]``; NaN unknown."""
        return self._served

    @property
    def value(self) -> float:
        """``V``: the mean of `served` over the contexts that were evaluated; NaN before any."""
        measured = ~np.isnan(self._served)
        return float(self._served[measured].mean()) if measured.any() else float("nan")

    @property
    def untrained(self) -> np.ndarray:
        """The contexts that may be asked for, in order."""
        free = np.ones(self.size, dtype=bool)
        free[self.trained] = False
        free[list(self.failed)] = False
        return np.flatnonzero(free)

    def ask(self, pending: Sequence[int] = ()) -> int:
        """The context to train on next.

        Args:
            pending: Sources that are being trained and not told yet.

        Raises:
            SelectionError: Every context is trained, failed or pending.
        """
        free = self.untrained
        free = free[~np.isin(free, list(pending))]
        if not len(free):
            raise SelectionError(f"all {self.size} contexts are trained: there is none to ask for")
        self.expected_gain = float("nan")
        return int(free[0]) if len(free) == 1 else self._choose(free, list(pending))

    def ask_batch(self, q: int) -> list[int]:
        """``q`` contexts to train at the same time; fewer where fewer are left."""
        batch: list[int] = []
        while len(batch) < min(q, len(self.untrained)):
            batch.append(self.ask(batch))
        return batch

    def tell(self, index: int, row: np.ndarray | Sequence[float]) -> None:
        """What training on a context has given.

        Args:
            index: The source.
            row: The return on every context ``[N]``, higher is better; NaN where it was not
                evaluated. A row of NaN alone is a training that failed: it is not asked for again.

        Raises:
            SelectionError: The row has another length, or infinite numbers; or there is no such
                context, or it has been told before.
        """
        returns = np.asarray(row, dtype=float)
        if not 0 <= index < self.size:
            raise SelectionError(f"context {index} of {self.size}: there is none of that number")
        if index in self.trained:
            raise SelectionError(f"context {index} was told before: a source has one row")
        if returns.shape != (self.size,):
            raise SelectionError(
                f"the row of context {index} has shape {returns.shape}: give one return for each "
                f"of the {self.size} contexts, NaN where it was not evaluated"
            )
        if np.isinf(returns).any():
            raise SelectionError(f"the row of context {index} holds infinite numbers")
        if np.isnan(returns).all():
            self.failed.add(index)
            return
        self.trained.append(int(index))
        self._rows.append(returns)
        self._served = np.fmax(self._served, returns)
        self._told(int(index), returns)

    @abstractmethod
    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        """One of the ``free`` contexts."""

    def _told(self, index: int, row: np.ndarray) -> None:  # noqa: B027  optional
        """Called after a row was told."""

    def _middle(self, free: np.ndarray) -> int:
        """The free context nearest to the mean of all."""
        gaps = np.square(self.points[free] - self.points.mean(0)).sum(1)
        return int(free[gaps.argmin()])
