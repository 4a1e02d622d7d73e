"""A selection of training tasks from end to end: train, evaluate, log, stop, resume."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from optuna.storages import BaseStorage

from ...banks.bank import Bank
from ...banks.matrices import append_rows
from ...banks.record import name_under
from ...common.errors import SelectionError
from ...common.version import __version__
from ...evaluators.task import SEEDS
from ..studies.failures import most_failed
from ..tracking.progress import progress_bar
from ..tracking.tracker import Tracker
from . import make_selector
from .runs import SelectionRuns, make_tracker
from .selector import Contexts, Costs, Selector
from .store import SelectionStore, Source
from .summary import SelectionSummary
from .trainings import FAILURES, Trainings


class Family(Protocol):
    """Related tasks that differ by their context; see `TaskSelection.of`."""

    @property
    def name(self) -> str: ...

    @property
    def contexts(self) -> np.ndarray: ...

    @property
    def dimensions(self) -> Sequence[str]: ...

    def train(self, context: np.ndarray) -> Any: ...

    def evaluate(self, model: Any, contexts: np.ndarray) -> np.ndarray: ...


class TaskSelection(SelectionSummary):
    """Chooses on which of many related tasks to train, one after another.

    Trained sources are stored; a selection of the same name resumes where it stopped.

    Args:
        contexts: Where the tasks lie ``[N, d]`` (or ``[N]``).
        train: Takes a context ``[d]`` and returns a model. Where it has a parameter ``seed``, it
            gets one.
        evaluate: Takes a model and the contexts ``[N, d]`` and returns ``N`` returns, higher is
            better, NaN where it was not evaluated.
        name: Of the selection.
        train_batch: Takes contexts ``[q, d]`` and returns q models: used where several sources are
            trained at a time; without it they are trained one after another.
        dimensions: What the dimensions of the contexts are called.
        selector: A name (see `SELECTORS`) or a `Selector` of the same contexts.
        costs: What training on each context costs ``[N]``; a `Selector` has its own.
        seed: Of the selector and of every training.
        storage: The study store, as `Study` takes it; the home's by default.
        folder: For pictures; by default ``selections/NAME`` in the Bequest home. A folder that is
            given holds a store of its own as well, unless a ``storage`` is given.
        tracking: An MLflow tracking URI; ``None`` for ``MLFLOW_TRACKING_URI`` or else the home's
            database; ``False`` for no tracking.
        conditions: What is not as usual in every training, as plain values: another selection.

    Attributes:
        selector: The selector, told everything that was trained.
        sources: What was trained, in order.

    Raises:
        SelectionError: A selection of that name was begun with other contexts, selector or seed; or
            what is given does not fit together.

    Example:
        >>> import numpy as np
        >>> from bequest import TaskSelection
        >>> noises = np.linspace(0, 1, 30)
        >>> selection = TaskSelection(
        ...     noises,
        ...     train=lambda context: context[0],
        ...     evaluate=lambda model, contexts: 1 - np.abs(model - contexts[:, 0]),
        ...     name="doc",
        ...     tracking=False,
        ... )  # doctest: +SKIP
        >>> selection.run(budget=4).value  # doctest: +SKIP
        0.93
    """

    def __init__(
        self,
        contexts: Contexts,
        train: Callable[..., Any],
        evaluate: Callable[..., Any],
        *,
        name: str,
        train_batch: Callable[..., Any] | None = None,
        dimensions: Sequence[str] | None = None,
        selector: str | Selector = "bequest",
        costs: Costs = None,
        seed: int = 0,
        storage: str | BaseStorage | None = None,
        folder: str | Path | None = None,
        tracking: str | bool | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> None:
        if seed not in SEEDS:
            raise SelectionError(f"seed is {seed}: give 0 or more, and less than 2**32")
        if isinstance(selector, Selector):
            selector.check_made_for(contexts, costs)
        self.seed = seed
        self._trainings = Trainings(train, train_batch, evaluate, seed)
        chooser = (
            make_selector(selector, contexts, costs=costs, seed=seed)
            if isinstance(selector, str)
            else selector
        )
        points = chooser.contexts
        names = tuple(dimensions or (f"x{d}" for d in range(points.shape[1])))
        if len(names) != points.shape[1]:
            raise SelectionError(f"{len(names)} names for contexts of {points.shape[1]} dimensions")
        method = selector if isinstance(selector, str) else type(selector).__name__
        self.store = SelectionStore(name, storage, None if folder is None else Path(folder))
        identity = self.store.open(
            {
                "name": name,
                "key": uuid.uuid4().hex,
                "version": __version__,
                "dimensions": list(names),
                "contexts": points.tolist(),
                "costs": None if costs is None else chooser.costs.tolist(),
                "selector": method,
                "seed": seed,
                "conditions": dict(conditions or {}),
            }
        )
        super().__init__(name, chooser, names, identity, self.store.sources())
        for source in self.sources:
            self.selector.tell(source.index, source.row)
        self._tracking = tracking
        self._models: dict[int, Any] = {}

    @classmethod
    def of(cls, family: Family, *, name: str | None = None, **options: Any) -> Self:
        """A selection among the tasks of a family, for example `RotatedDigits`.

        Args:
            family: Has ``name``, ``contexts``, ``dimensions``, ``train`` and ``evaluate``.
            name: Of the selection; by default made of the family's, the selector's and the seed.
            **options: As for `TaskSelection`.
        """
        method, seed = options.get("selector", "bequest"), options.get("seed", 0)
        conditions = getattr(family, "conditions", {})
        said = "".join(f"-{key}-{value}" for key, value in conditions.items())
        title = name or f"{family.name}-{method}{said}-s{seed}".replace("/", "-")
        return cls(
            family.contexts,
            family.train,
            family.evaluate,
            name=title,
            train_batch=getattr(family, "train_batch", None),
            dimensions=family.dimensions,
            conditions=conditions,
            **options,
        )

    # Reading --------------------------------------------------------------------------------------

    def model(self, index: int) -> Any:
        """The model trained on a context; trained again where an earlier process trained it.

        Contexts that were trained in one call are trained so again.

        Raises:
            SelectionError: That context is not among those trained.
        """
        if index not in self.selector.trained:
            raise SelectionError(f"context {index} was not trained")
        if index not in self._models:
            source = next(s for s in self.sources if s.index == index)
            together = [*source.together] or [index]
            place = together.index(index)
            self._models[index] = self._trainings.again(self.contexts[together], place)
        return self._models[index]

    # Running --------------------------------------------------------------------------------------

    def run(
        self,
        budget: int | None = None,
        *,
        batch: int = 1,
        tolerance: float | None = None,
        timeout: float | None = None,
        progress: bool = True,
    ) -> Self:
        """Train sources until there are ``budget``, or none is expected to help.

        Ctrl-C stops cleanly: the source being trained is given up, the next run goes on.

        Args:
            budget: How many sources there shall be in the end, earlier ones included; more than
                there are contexts means all of them. Where nothing else can end the run, the
                selector is told and may plan for it.
            batch: Sources that are chosen, and trained, at a time.
            tolerance: Stop when the best source left is expected to raise V by less.
            timeout: Seconds after which no further source is begun.
            progress: Show a progress bar, if standard error is a terminal.

        Raises:
            SelectionError: No limit is given, a tolerance is given to a selector that expects
                nothing, or more than half of the trainings fail.
        """
        if budget is None and tolerance is None and timeout is None:
            raise SelectionError("give a limit: run(budget=15) or run(tolerance=.001)")
        for what, count in (("budget", budget), ("batch", batch)):
            if count is not None and count < 1:
                raise SelectionError(f"a {what} of {count} sources: give at least 1")
        most = min(budget or self.selector.size, self.selector.size)
        if self.selector.uses_budget:  # known for certain only where nothing else ends the run
            self.selector.budget = budget if tolerance is None and timeout is None else None
        deadline = None if timeout is None else time.time() + timeout
        tracker = self.tracker
        tracker.start()
        finished = False
        before = len(self.sources)
        try:
            with progress_bar("V", enabled=progress) as bar:
                shown = bar.add_task(self.name, total=most, shown="-")
                while len(self.sources) < most and len(self.selector.untrained):
                    if deadline is not None and time.time() > deadline:
                        break
                    first = self.selector.ask()
                    if self._has_converged(tolerance):
                        break
                    for source in self._step(first, min(batch, most - len(self.sources))):
                        self._keep(source)
                        tracker.notify()
                        value = f"{self.value:.4f}"
                        bar.update(shown, completed=len(self.sources), shown=value)
                    self._stop_if_most_fail(self.sources[before:])
            finished = True
        finally:
            tracker.close(finished=finished)
        return self

    def _has_converged(self, tolerance: float | None) -> bool:
        if tolerance is None or not self.sources:
            return False
        if np.isnan(self.selector.expected_gain) and len(self.selector.untrained) > 1:
            raise SelectionError(
                f"{type(self.selector).__name__} expects nothing, no tolerance can stop it: "
                "give a budget, or take selector='bequest'"
            )
        return self.selector.expected_gain < tolerance

    def _step(self, first: int, batch: int) -> Iterator[Source]:
        """Train and measure the next sources; each is told when it is measured."""
        indices, gains = [first], [self.selector.expected_gain]
        while len(indices) < min(batch, len(self.selector.untrained)):
            indices.append(self.selector.ask(indices))
            gains.append(self.selector.expected_gain)
        began = time.time()
        models = self._trainings.each(self.contexts[indices])
        together = indices if self._trainings.in_one_call(len(indices)) else []
        for index, gain, model in zip(indices, gains, models, strict=True):
            row = np.full(self.selector.size, np.nan)
            error = None
            try:
                if isinstance(model, Exception):
                    raise model
                row = self._trainings.returns(model, self.contexts)
                self._models[index] = model
            except FAILURES as failure:
                error = f"{type(failure).__name__}: {failure}"
            self.selector.tell(index, row)
            if error is None and index in self.selector.failed:
                error = "every return is NaN"
            now = time.time()
            yield Source(index, row, self.value, gain, now - began, now, error, together)
            began = now

    def _keep(self, source: Source) -> None:
        self.store.append(source)
        self.sources.append(source)

    @staticmethod
    def _stop_if_most_fail(now: Sequence[Source]) -> None:
        """Stop a run most of whose trainings failed; earlier runs do not count."""
        failed = [s for s in now if s.error is not None]
        if most_failed(len(failed), len(now)):
            raise SelectionError(
                f"stopped: {len(failed)} of {len(now)} trainings failed, the last one with: "
                f"{failed[-1].error}"
            )

    # Showing --------------------------------------------------------------------------------------

    def plot(self, folder: str | Path | None = None) -> list[Path]:
        """Draw V against the number of sources, the chosen contexts, and the transfer matrix.

        Returns:
            PNG files, by default beside what was trained.
        """
        from .figures import selection_figures

        target = Path(folder or self.store.folder)
        target.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, figure in selection_figures(self).items():
            paths.append(target / f"{name}.png")
            figure.savefig(paths[-1], dpi=120)
        return paths

    def append_to(self, bank: Bank, family: str | None = None) -> int:
        """Add the returns that were measured to a bank, under the family's name.

        Returns:
            How many records were new.
        """
        name = name_under(family or self.name, self.identity.get("conditions", {}))
        trained, rows = self.selector.trained, self.selector.rows
        return append_rows(
            bank, name, self.contexts, self.dimensions, trained, rows, seed=self.seed
        )

    def sync(self) -> int:
        """Log to MLflow what it lacks, for example after it was down.

        Returns:
            How many sources were written.

        Raises:
            SelectionError: MLflow cannot be reached.
        """
        return self.tracker.sync()

    @cached_property
    def tracker(self) -> Tracker[SelectionRuns]:
        """What writes this selection to MLflow, as set by ``tracking``."""
        return make_tracker(self, self._tracking)

    def __repr__(self) -> str:
        return f"TaskSelection({self.name!r}, {len(self.sources)} sources, V = {self.value:.4f})"
