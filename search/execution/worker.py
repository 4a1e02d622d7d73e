"""The worker loop: claim the next slot, propose, evaluate, store. One loop for every set-up.

Sequential runs, worker processes on one machine and workers on many machines all run this loop
against the study store; nothing else is shared.
"""

from __future__ import annotations

import copy
import math
import numbers
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ...common.errors import ConfigurationError, EvaluationError, unknown_name
from ...evaluators.task import TEST_PREFIX, Evaluator, Outcome
from ...spaces import Config, Space
from ..optuna_backend import pruner_view, trial_id
from .recovery import claim, mark_lost
from .slots import INTERRUPTED, SlotStudy
from .storage import HEARTBEAT_SECONDS, heartbeat_of, report_value, stored_trial, write_trial


class Worker:
    """Runs trials of one study in this process, one after another.

    Args:
        evaluator: What measures a configuration.
        study: The study, with its sampler and pruner.
        seed: The evaluation seed; the same for every trial, so that all share one split.
        minimize: Metrics that are objectives, too.
    """

    def __init__(
        self, evaluator: Evaluator, study: SlotStudy, seed: int, minimize: Sequence[str] = ()
    ) -> None:
        self.evaluator = evaluator
        self.study = study
        self.seed = seed
        self.minimize = tuple(minimize)

    def run(
        self,
        budget: int,
        deadline: float | None = None,
        after_trial: Callable[[], None] = lambda: None,
    ) -> None:
        """Run trials until the study has ``budget`` slots or the deadline (`time.time`) is past.

        A sampler that has nothing more to try ends the run, too.
        """
        self.study.ends = False
        with _Heartbeat(self.study) as heartbeat:
            while not self.study.ends and (deadline is None or time.time() < deadline):
                trial = claim(self.study, budget)
                if trial is None:
                    return
                heartbeat.trial_id = trial_id(trial)
                self._run(trial)
                heartbeat.trial_id = None
                after_trial()

    def _run(self, trial: FrozenTrial) -> None:
        self.study.refresh()
        try:
            config = self._configuration(trial)
            reporter = _Reporter(self.study, trial)
            state, values, attrs = self._evaluate(config, reporter)
            self._tell_sampler(trial, reporter, state, values, attrs)
            write_trial(
                self.study,
                trial,
                user_attrs=attrs,
                curve=reporter.unwritten,
                state=state,
                values=values,
            )
        except UpdateFinishedTrialError:
            return  # another host took this worker for dead and has retried the slot
        except BaseException:
            # Ctrl-C, a closing interpreter or a broken sampler: the configuration is not to blame.
            mark_lost(self.study, trial, INTERRUPTED)
            raise

    def _tell_sampler(
        self,
        trial: FrozenTrial,
        reporter: _Reporter,
        state: TrialState,
        values: list[float],
        attrs: dict[str, Any],
    ) -> None:
        """Let the sampler see the trial as it is about to be stored."""
        sampler = self.study.sampler
        if type(sampler).after_trial is BaseSampler.after_trial:
            return  # it takes no notice of ended trials
        # A store in memory returns its own object, which must not be changed.
        ended = copy.copy(stored_trial(self.study, trial))
        ended.state = state
        ended.values = values or None
        ended.user_attrs = {**ended.user_attrs, **attrs}
        ended.intermediate_values = {**ended.intermediate_values, **reporter.unwritten}
        sampler.after_trial(self.study, ended, state, values or None)

    def _configuration(self, trial: FrozenTrial) -> Config:
        """The retried trial's configuration, or the sampler's proposal, which is stored first."""
        space = self.evaluator.space
        try:
            return space.validate(trial.params)
        except ConfigurationError:
            config = propose(self.study, trial, space)
        write_trial(self.study, trial, params=config, distributions=space.distributions(config))
        return config

    def _evaluate(
        self, config: Config, reporter: _Reporter
    ) -> tuple[TrialState, list[float], dict[str, Any]]:
        """The trial's state, its values (none if it failed) and its user attributes.

        Raises:
            UnknownNameError: The evaluator does not measure a metric to minimize: no trial will.
        """
        try:
            outcome = self.evaluator(config, seed=self.seed, report=reporter)
            value, metrics = check_outcome(outcome)
            measured = outcome.metrics if isinstance(outcome, Outcome) else {}
            for name in self.minimize:
                if name in measured and name not in metrics:
                    raise EvaluationError(f"{name}, which is to be small, is {measured[name]}")
        except optuna.TrialPruned:
            if self.minimize:
                reason = "the training pruned itself, though the study has several objectives"
                return TrialState.FAIL, [], {"error": reason}
            return TrialState.PRUNED, [] if reporter.last is None else [reporter.last], {}
        except Exception as error:
            # Whatever a training raises, the search goes on; the reason is stored.
            reason = f"{type(error).__name__}: {error}"
            return TrialState.FAIL, [], {"error": reason, "traceback": traceback.format_exc()}
        for name in self.minimize:
            if name not in metrics:
                eligible = [other for other in metrics if not other.startswith(TEST_PREFIX)]
                raise unknown_name("metric to minimize", name, eligible)
        values = [value, *(metrics[name] for name in self.minimize)]
        return TrialState.COMPLETE, values, {"metrics": metrics}


def propose(study: SlotStudy, trial: FrozenTrial, space: Space) -> Config:
    """The sampler's configuration for a trial: relative parameters first, the rest one by one."""
    view = pruner_view(study, trial)
    sampler: BaseSampler = study.sampler
    sampler.before_trial(view, trial)
    if type(sampler).before_trial is not BaseSampler.before_trial:
        trial = stored_trial(study, trial)  # with what the sampler noted there
    trial = copy.copy(trial)  # gets the parameters one by one: some samplers read them
    trial.params, trial.distributions = {}, {}
    relative_space = sampler.infer_relative_search_space(view, trial)
    relative = sampler.sample_relative(view, trial, relative_space)
    config: Config = {}
    for p in space.parameters:
        if not space.is_active(p, config):
            continue
        if p.name in relative:
            config[p.name] = relative[p.name]
        elif p.distribution.single():
            config[p.name] = p.distribution.to_external_repr(_only(p.distribution))
        else:
            config[p.name] = sampler.sample_independent(view, trial, p.name, p.distribution)
        trial.params = {**config}
        trial.distributions = {**trial.distributions, p.name: p.distribution}
    return space.validate(config)


def _only(distribution: Any) -> float:
    return float(getattr(distribution, "low", 0))


def check_outcome(outcome: object) -> tuple[float, dict[str, float]]:
    """The value and the finite metrics of what an evaluator returned.

    Raises:
        EvaluationError: It is no finite number, and no `Outcome` with one.
    """
    value = outcome.value if isinstance(outcome, Outcome) else outcome
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        kind = type(outcome).__name__
        raise EvaluationError(f"the evaluator returned {outcome!r:.80} ({kind}), not a number")
    if not math.isfinite(value):
        raise EvaluationError(f"the evaluator returned {float(value)}, not a finite number")
    metrics = outcome.metrics if isinstance(outcome, Outcome) else {}
    finite = {name: float(metric) for name, metric in metrics.items() if math.isfinite(metric)}
    return float(value), finite


def _scalar(value: object) -> object:
    """The number in a NumPy array or PyTorch tensor of one element; anything else as it is."""
    item = getattr(value, "item", None)
    if not callable(item):
        return value
    try:
        return item()
    except (RuntimeError, TypeError, ValueError):  # it has more elements than one
        return value


class _Reporter:
    """Takes a training's learning curve and asks the pruner."""

    def __init__(self, study: SlotStudy, trial: FrozenTrial) -> None:
        self.study = study
        self.trial = trial
        self.last: float | None = None
        self.unwritten: dict[int, float] = {}
        self._prunes = not isinstance(study.pruner, NopPruner)

    def __call__(self, step: int, value: float) -> None:
        value = float(value)
        if not math.isfinite(value):
            raise EvaluationError(f"the training reported {value} at step {step}")
        self.last = value
        if not self._prunes:
            # The curve is not needed before the end: one transaction then, not one a step.
            self.unwritten[int(step)] = value
            return
        report_value(self.study, self.trial, int(step), value)
        if self.study.pruner.prune(self.study, stored_trial(self.study, self.trial)):
            raise optuna.TrialPruned(f"pruned at step {step}")


class _Heartbeat:
    """Records heartbeats of the running trial from a thread of its own."""

    def __init__(self, study: SlotStudy) -> None:
        self.trial_id: int | None = None
        self._record = heartbeat_of(study)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> _Heartbeat:
        if self._record is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _beat(self) -> None:
        assert self._record is not None
        while not self._stop.wait(HEARTBEAT_SECONDS):
            running = self.trial_id
            if running is not None:
                try:
                    self._record(running)
                except optuna.exceptions.StorageInternalError:
                    continue  # a busy store: the next beat will do
