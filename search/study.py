"""A study: one search on one task, stored, logged and resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage

from ..banks.bank import Bank
from ..common.errors import StudyError
from ..evaluators.budgets import epochs_of
from ..evaluators.function import FunctionEvaluator, FunctionTask
from ..evaluators.task import Evaluator, Fitted, Fitter
from ..spaces import Space
from .execution.pool import run_pool
from .execution.recovery import running
from .execution.slots import SlotStudy
from .execution.storage import has_database, open_storage
from .execution.worker import Worker
from .pruners import make_pruner
from .studies.default_name import default_name
from .studies.failures import FailureWatch
from .studies.identity import (
    check_arguments,
    check_run,
    directions_of,
    registered_identity,
    registration,
    study_identity,
)
from .studies.objectives import check_objectives
from .studies.record import StudyRecord
from .studies.trial import Trial
from .study_sampler import AnySampler, label_of, make_study_sampler, name_of, uses_bank
from .tracking.progress import study_progress
from .tracking.study_runs import StudyRuns
from .tracking.tracker import Tracker, make_tracker
from .transfer.study_bank import SourceAware, StudyBank
from .two_stage import SEARCHES
from .two_stage.protocol import StageSampler


class Study:
    """A search for the best configuration of one evaluator.

    A study of the same name in the same store is resumed: it continues exactly as an uninterrupted
    one would have (with one worker).

    Args:
        evaluator: What measures a configuration; it brings its task and its space.
        sampler: A name (``transfer``, ``autotransfer``, ``gp``, ``tpe``, ``evolution``,
            ``random``) or any Optuna sampler. ``transfer`` without a bank that knows the space is
            ``gp``. A search in two stages by its name (``rarts``, ``darts-1``, ``darts-2``,
            ``apq``) or by its settings: its first stage runs before the trials, which are what it
            found.
        bank: The records of earlier tasks, to which this one's are added: a URL or a `Bank`;
            ``None`` for the home's; ``"none"`` or ``False`` for no bank.
        pruner: A name (``none``, ``forecast``, ``median``, ``hyperband``) or any Optuna pruner.
        minimize: Metrics of the outcome that are objectives, too, and are to be small (``flops``,
            ``activation_bytes``, ...): the study then looks for the whole front (`front`).
            Samplers that learn from a bank then do as ``gp`` does.
        name: The study's name; by default made of task, space, sampler, seed and all settings that
            are not the usual ones.
        storage: A SQLAlchemy URL, an Optuna storage, ``"memory"``, or ``None`` for the home's.
        seed: The seed of the sampler and of every training.
        tracking: An MLflow tracking URI; ``None`` for ``MLFLOW_TRACKING_URI`` or else the home's
            database; ``False`` for no tracking.

    Raises:
        StudyError: A study of this name was begun with another task, space, sampler or seed.

    Example:
        >>> import bequest
        >>> task = bequest.load_task("wine-knn")
        >>> study = bequest.Study(bequest.GraphEvaluator(task), seed=1)
        >>> study.run(trials=20).best.value  # doctest: +SKIP
        0.97
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        sampler: AnySampler = "transfer",
        bank: str | Bank | bool | None = None,
        pruner: str | BasePruner = "none",
        minimize: Sequence[str] = (),
        name: str | None = None,
        storage: str | BaseStorage | None = None,
        seed: int = 0,
        tracking: str | bool | None = None,
    ) -> None:
        check_arguments(evaluator, seed)
        self.evaluator = evaluator
        self.seed = seed
        self.minimize = tuple(minimize)
        self.tracking = tracking
        self.sampler_name = name_of(sampler)
        self.pruner_name = pruner if isinstance(pruner, str) else type(pruner).__name__
        self.name = name or default_name(
            evaluator,
            [self.sampler_name, label_of(sampler)],
            minimize,
            seed,
            bank=bank,
            uses_bank=uses_bank(self.sampler_name),
            pruner=self.pruner_name,
        )
        in_two_stages = self.sampler_name in SEARCHES
        check_objectives(self.minimize, self.pruner_name, self.sampler_name, single=in_two_stages)
        if isinstance(pruner, str):
            pruner = make_pruner(pruner, evaluator.space, epochs_of(evaluator))
        self._store = open_storage(storage)
        identity = self.describe()
        with registration(self.name, self._store, directions_of(identity)):
            self._study = SlotStudy(self.name, self._store, RandomSampler(), pruner)
            identity = registered_identity(self._study, identity, evaluator)
            self.record = StudyRecord(self._study, identity)
            self._bank = StudyBank(bank, self.record, evaluator.space, stored=self._shareable())
            self._study.sampler = make_study_sampler(
                sampler,
                self._study,
                evaluator,
                seed,
                folder=self.record.folder,
                notify=self._notify,
                sources=self._bank.sources,
                bank=self._bank.for_stage,
            )

    def _notify(self) -> None:
        self.tracker.notify()

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        space: Space,
        *,
        name: str,
        metric: str = "value",
        direction: str = "maximize",
        **options: Any,
    ) -> Self:
        """A study of a plain function.

        Args:
            function: Takes a configuration (a dict), and where it has parameters of these names,
                ``seed`` and ``report``; returns the objective.
            space: What can be chosen.
            name: The name of study and task.
            metric: What the function returns, in a word.
            direction: ``"maximize"`` or ``"minimize"``.
            **options: As for `Study`.
        """
        task = FunctionTask(name, metric, direction)
        return cls(FunctionEvaluator(function, space, task), name=name, **options)

    # Reading ------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """What the study searches, as plain values; stored with it and compared on resume."""
        return study_identity(
            self.evaluator,
            sampler=self.sampler_name,
            pruner=self.pruner_name,
            seed=self.seed,
            minimize=self.minimize,
        )

    @property
    def optuna_study(self) -> SlotStudy:
        """The Optuna study underneath, for Optuna's own tools."""
        return self._study

    @property
    def trials(self) -> list[Trial]:
        """The trials, one a slot, in the order of their slots."""
        return self.record.trials

    @property
    def best(self) -> Trial:
        """The complete trial with the best validation value (see `StudyRecord.best`)."""
        return self.record.best

    @property
    def front(self) -> list[Trial]:
        """The Pareto front of the complete trials, best value first."""
        return self.record.front

    # Running ------------------------------------------------------------------------------------

    def run(
        self,
        trials: int | None = None,
        timeout: float | None = None,
        workers: int = 1,
        progress: bool = True,
    ) -> Self:
        """Search until the study has ``trials`` trials in all, or the time is over.

        Ctrl-C stops cleanly: running trials are given back, and the next run continues.

        Args:
            trials: How many trials the study has in the end, earlier ones included.
            timeout: Seconds after which no further trial is begun.
            workers: Worker processes on this machine.
            progress: Show a progress bar, if standard error is a terminal.

        Raises:
            StudyError: Neither limit is given, more than half of the trials fail, or the time is
                over before the first stage of a search in two stages is (the next run continues
                it).
        """
        self._check_run(trials, timeout, workers)
        deadline = None if timeout is None else time.time() + timeout
        budget = 10**9 if trials is None else trials
        self._bank.open()
        finished = False
        with (
            running(self._study),
            study_progress(self.record, trials, deadline, enabled=progress) as show,
        ):
            watch = FailureWatch(self.record)
            self.tracker.start()

            def after_trial() -> None:
                self.tracker.notify()
                show()
                watch.check()

            try:
                sampler = self._study.sampler  # prepared once, not in every worker
                if isinstance(sampler, StageSampler):
                    sampler.prepare(deadline)
                elif isinstance(sampler, SourceAware):
                    sampler.prepare()
                worker = Worker(self.evaluator, self._study, self.seed, self.minimize)
                if workers == 1:
                    worker.run(budget, deadline, after_trial)
                else:
                    run_pool(worker, workers, budget, deadline, after_trial)
                finished = True
            finally:
                try:
                    self._bank.append_trials()
                finally:
                    self.tracker.close(finished=finished)
        return self

    def _check_run(self, trials: int | None, timeout: float | None, workers: int) -> None:
        check_run(trials, workers)
        if trials is None and timeout is None:
            raise StudyError("give a limit: run(trials=30) or run(timeout=600)")
        if workers > 1 and not self._shareable():
            raise StudyError("worker processes need a stored study: give storage='sqlite:///x.db'")

    def _shareable(self) -> bool:
        return has_database(self._store)

    @cached_property
    def tracker(self) -> Tracker[StudyRuns]:
        """What writes this study to MLflow, as set by ``tracking``."""
        return make_tracker(self.record, self.tracking)

    def sync(self) -> int:
        """Log to MLflow what it lacks, for example after it was down.

        Returns:
            How many trials were written.

        Raises:
            StudyError: MLflow cannot be reached.
        """
        return self.tracker.sync()

    # The bank -----------------------------------------------------------------------------------

    @property
    def bank(self) -> Bank | None:
        """The bank that this study learns from and adds to."""
        return self._bank.bank

    def explain(self) -> list[dict[str, Any]]:
        """Which source tasks the sampler uses, how much, and how each scores the best trial.

        Returns:
            Rows with ``task``, ``weight`` (how far its scores move the prediction) and, for the
            transfer sampler, ``opinion`` (its score of the best configuration in standard normal
            quantiles: 0 is its median configuration, 2 one of its best few of a hundred). Empty if
            the study has no source tasks.
        """
        return self._bank.explain()

    # Results ------------------------------------------------------------------------------------

    def fit_best(
        self,
        train_on_validation: bool = False,
        folder: str | None = None,
        *,
        within: Mapping[str, float] | None = None,
    ) -> Fitted:
        """Train the winner once more, report its test metric, save it, log and register it.

        Args:
            train_on_validation: Train on training and validation data together.
            folder: Where to save the model; by default ``model`` in the record's `folder`, with
                the limits behind it where some are given.
            within: Largest values of metrics that the winner must meet, for example
                ``{"latency": 0.2}``; none by default.

        Raises:
            StudyError: No (such) trial is complete, or the evaluator has no model to train.
        """
        if not isinstance(self.evaluator, Fitter):
            raise StudyError(
                f"{type(self.evaluator).__name__} has no model to train: fit_best() needs an "
                "evaluator with fit(), such as GraphEvaluator"
            )
        best = self.best if within is None else self.record.best_within(within)
        fitted = self.evaluator.fit(
            best.config, seed=self.seed, train_on_validation=train_on_validation
        )
        name = "-".join(["model", *(f"{k}-{v:g}" for k, v in (within or {}).items())])
        path = str(folder or self.record.folder / name)
        fitted.save(path)
        self.tracker.also(
            lambda runs: runs.log_model(path, fitted.metrics),
            "the model is saved but not in MLflow",
        )
        return fitted

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page about the study.

        Returns:
            The page's path.
        """
        from .tracking.report import write_report

        return write_report(self.record, Path(path))

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self.trials)} trials)"
