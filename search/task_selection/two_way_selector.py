"""The default selector: the source whose row is expected to raise V most.

``E[max(J_ij - v(j), 0)]`` in closed form under the two-way model, averaged over targets: there is
no confidence constant to tune. A cell's noise is part of what a row gives, so it counts. Where the
budget is known, the sources left are planned together (`planning`); where the last sources have
raised V far less than expected, the model is not used and the targets are covered evenly.
"""

from __future__ import annotations

import numpy as np

from ...common.errors import SelectionError
from ..surrogates.acquisition import tabulated_improvement
from ..surrogates.fantasies import fantasize_rows
from ..surrogates.rows import Rows, rows_of
from ..surrogates.two_way import TwoWayProcess, expected_rows
from .planning import covering, even_places, plan
from .selector import Contexts, Costs, Selector

TARGETS = 4096
"""At most so many targets; of more, a random sample stands for all."""

COARSE = 64, 512
"""An eighth of the targets in random order, within these bounds, decides which candidates are
scored on all targets; where that is few, so do as many that are served worst: towards the end
little else is left to gain. Of many, those would favour candidates that help them alone."""

CELLS = 128 * 100_000
"""At most so many cells are computed for that."""

CLOSE = 128
"""At least so many candidates are scored on all targets."""

CHUNK = 8192
IMPUTATIONS = 3

PLANNED, DENSE = 64, 512
"""At most so many sources are planned together: of more, each is a small part. Candidates and
targets of a plan are so many at most: on a line they lie dense."""

MEMORY, DOUBT = 4, 1 / 3
"""The model is doubted while its last sources raised V by less than this share of what it expected.
Real policies differ by luck, which no neighbour shares."""

SPREAD = 2048
"""At most so many candidates are compared in how well they cover the targets."""


class TwoWaySelector(Selector):
    """Expected improvement of the generalised performance under a two-way model.

    Args:
        contexts: Where the tasks lie ``[N, d]``.
        costs: What training on each costs ``[N]``: improvement a unit of cost is maximised.
        budget: How many sources there will be in the end, failed ones included, if that is known.
            In one dimension, and where costs are equal, they are then planned together: for the
            best V at the end, not all the way there.
        seed: Draws the targets where there are more than 4096.

    Raises:
        SelectionError: As `Selector`, or the budget is less than one source.

    Example:
        >>> contexts = np.linspace(0, 1, 20)
        >>> returns = 1 - np.abs(contexts[:, None] - contexts)
        >>> selector = TwoWaySelector(contexts)
        >>> for _ in range(3):
        ...     source = selector.ask()
        ...     selector.tell(source, returns[source])
        >>> round(selector.value, 2)
        0.92
    """

    uses_costs = True
    uses_budget = True

    def __init__(
        self,
        contexts: Contexts,
        *,
        costs: Costs = None,
        budget: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(contexts, costs=costs, seed=seed)
        if budget is not None and budget < 1:
            raise SelectionError(f"a budget of {budget} sources: give at least 1")
        self.budget = budget
        # In random order, so that the first of them stand for all.
        self._targets = np.random.default_rng(seed).permutation(self.size)[:TARGETS]
        self._whole: Rows | None = Rows(self.points, self._targets)
        self._process: TwoWayProcess | None = None
        self._expected_and_gained: list[tuple[float, float]] = []

    def _told(self, index: int, row: np.ndarray) -> None:
        row = row[self._targets]
        if self._whole is not None and not np.isnan(row).any():
            if self._whole.sources:
                served = self._whole.values.max(0)
                expected = _improvement(self.process(), np.array([index]), served)
                gained = float(np.maximum(row - served, 0).mean())
                self._expected_and_gained.append((float(expected[0]), gained))
            self._whole.append(index, row)
        else:  # from now on cells are filled in anew with each row
            self._whole = None
        self._process = None

    def _choose(self, free: np.ndarray, pending: list[int]) -> int:
        if not self.trained:
            return self._first(free, pending)
        rows = self._rows_with(pending)
        process = TwoWayProcess(rows) if pending else self.process()
        served = rows.values.max(0)
        left = self._left_to_plan(pending)
        if self._is_doubted():
            free = self._covering(free, [*self.trained, *pending])
        elif left > 1:
            free = self._planned(process, free, served, left)
        gains = self._gains(process, free, served)
        rates = gains / self.costs[free]
        best = int(rates.argmax())
        self.expected_gain = float(gains[best])
        return int(free[best])

    def _is_doubted(self) -> bool:
        """Whether the model expected far more of its last sources than came."""
        expected, gained = np.array(self._expected_and_gained[-MEMORY:]).reshape(-1, 2).sum(0)
        return len(self._expected_and_gained) >= MEMORY and bool(gained < DOUBT * expected)

    def _covering(self, free: np.ndarray, taken: list[int]) -> np.ndarray:
        """The source that brings the targets nearest to one ``[1]``."""
        candidates = free[np.linspace(0, len(free) - 1, min(len(free), SPREAD)).astype(int)]
        points = self.points
        nearer = covering(points[candidates], points[taken], points[self._targets])
        return np.array([candidates[(nearer / self.costs[candidates]).argmax()]])

    def _left_to_plan(self, pending: list[int]) -> int:
        """How many sources, this one included, are to be chosen together; 0: nothing is planned."""
        if self.budget is None or self.points.shape[1] > 1 or np.ptp(self.costs) > 0:
            return 0
        left = self.budget - len(self.trained) - len(self.failed) - len(pending)
        return left if left <= PLANNED else 0

    def _planned(
        self, process: TwoWayProcess, free: np.ndarray, served: np.ndarray, left: int
    ) -> np.ndarray:
        """The sources that are planned to be trained, this one or later."""
        layout = self._layout(free)
        spread = free[np.linspace(0, len(free) - 1, min(len(free), DENSE)).astype(int)]
        candidates = np.union1d(spread, layout)
        columns = np.arange(min(len(served), DENSE))
        ahead = process.predict(candidates, columns)[0] - served[columns]
        start = np.searchsorted(candidates, layout).tolist()
        deviation = float(np.sqrt(process.noise))
        planned: np.ndarray = candidates[plan(ahead, deviation, left, start)]
        return planned

    def _layout(self, free: np.ndarray) -> np.ndarray:
        """The best plan where distance is all there is, as far as it is not trained yet."""
        assert self.budget is not None
        gaps = np.abs(self.points[:, 0] - even_places(self.budget)[:, None])
        return np.intersect1d(gaps.argmin(1), free)

    def _first(self, free: np.ndarray, pending: list[int]) -> int:
        """The middle; the next ones, without any row, as far from each other as can be."""
        if self._left_to_plan(pending) > 0:
            layout = self._layout(free)
            free = layout if len(layout) else free
        if not pending:
            return self._middle(free)
        taken = self.points[pending]
        gaps = np.abs(self.points[free][:, None] - taken).sum(2).min(1)
        return int(free[gaps.argmax()])

    def process(self) -> TwoWayProcess:
        """The two-way process given the rows told so far."""
        if self._process is None:
            self._process = TwoWayProcess(self._rows_with([]))
        return self._process

    def _rows_with(self, pending: list[int]) -> Rows:
        """The rows told, and fantasies of those that are being trained."""
        rows = self._whole if self._whole is not None else self._filled()
        return fantasize_rows(rows, pending) if pending else rows

    def _filled(self) -> Rows:
        """The rows, cells that were not evaluated filled with what the process expects there."""
        values = self.rows[:, self._targets]
        missing = np.isnan(values)
        counts = (~missing).sum(0)
        columns = np.nansum(values, axis=0) / np.maximum(counts, 1)
        values = np.where(missing, np.where(counts > 0, columns, np.nanmean(values)), values)
        rows = rows_of(self.points, self._targets, self.trained, values)
        for _ in range(IMPUTATIONS):
            values = np.where(missing, expected_rows(TwoWayProcess(rows)), values)
            rows = rows_of(self.points, self._targets, self.trained, values)
        return rows

    def _gains(self, process: TwoWayProcess, free: np.ndarray, served: np.ndarray) -> np.ndarray:
        """By how much each candidate is expected to raise V ``[free]``."""
        if len(free) <= 2 * CLOSE:
            return _improvement(process, free, served)
        few, many = COARSE
        share = min(max(len(self._targets) // 8, few), many, max(CELLS // len(free) - few, few))
        badly = np.argsort(served - process.columns, kind="stable")[: few * few // share]
        columns = np.union1d(badly, np.arange(share))
        parts = [free[start : start + CHUNK] for start in range(0, len(free), CHUNK)]
        gains = np.concatenate([_improvement(process, part, served, columns) for part in parts])
        count = max(CLOSE, share // 2)
        close = np.argpartition(-gains / self.costs[free], count)[:count]
        exact = np.zeros(len(free))
        exact[close] = _improvement(process, free[close], served)
        return exact


def _improvement(
    process: TwoWayProcess,
    sources: np.ndarray,
    served: np.ndarray,
    columns: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """``mean_j E[max(J_ij - v_j, 0)]`` over some columns ``[sources]``."""
    mean, variance = process.predict(sources, columns)
    deviation = np.sqrt(variance)
    z = (mean - served[columns]) / deviation[:, None]
    return np.asarray(tabulated_improvement(z).mean(1) * deviation)
