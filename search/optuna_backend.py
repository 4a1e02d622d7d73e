"""Every private name of Optuna's that Bequest uses: no other module touches one.

Each was seen to work with Optuna 4.9.0 and 5.0.0 (the suite runs with both); `setup.cfg` ends the
range before the next major release, which may change any of them. What they serve:

* `trial_id`, `storage_of`, `study_id`: records are written to the storage directly, several in one
  transaction;
* `cached_trials`, `forget_cached_trials`, `FilteredStudy`: samplers and pruners must not see trials
  that were lost (`execution.slots`);
* `BatchedStorage`: what belongs together is written together, and a trial has its first heartbeat
  in the transaction that makes it;
* `StableHyperband`: Optuna derives a bracket from the study's name and the trial's number, which a
  retried trial does not keep;
* `nondomination_rank`, `dominated_volume`: tens of times as fast as what is public.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

import numpy as np
import optuna
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.pruners import BasePruner, HyperbandPruner
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, TrialState

# Trials and studies -------------------------------------------------------------------------------


def trial_id(trial: FrozenTrial) -> int:
    """The storage's key of a trial (its `number` counts within its study)."""
    return trial._trial_id


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage of a study."""
    return study._storage


def study_id(study: optuna.Study) -> int:
    """The storage's key of a study."""
    return study._study_id


def cached_trials(study: optuna.Study, states: Container[TrialState]) -> list[FrozenTrial]:
    """The trials in some states, read once from `ask` to `tell`; not to be changed."""
    return study._get_trials(deepcopy=False, states=states, use_cache=True)


def forget_cached_trials(study: optuna.Study) -> None:
    """Let the next `cached_trials` read the storage again."""
    study._thread_local.cached_all_trials = None


def pruner_view(study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
    """The study as a sampler shall see it for a trial: with Hyperband, the trial's bracket only."""
    return optuna.pruners._filter_study(study, trial)


class FilteredStudy(optuna.Study):
    """A study some of whose trials cannot be seen by samplers, pruners and plots."""

    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Those of some trials, in their order, that can be seen."""
        return trials

    def all_trials(self) -> list[FrozenTrial]:
        """All trials, hidden ones included, ordered by number. Not to be changed."""
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        return self.visible(super()._get_trials(deepcopy, states, use_cache))

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._get_trials(deepcopy=deepcopy, states=states)


# Pruners ------------------------------------------------------------------------------------------


class StableHyperband(HyperbandPruner, ABC):
    """Hyperband whose brackets, and whose length where that is ``"auto"``, a child determines."""

    @abstractmethod
    def bracket_of_trial(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """The bracket that a trial belongs to."""

    @abstractmethod
    def bracket_view(self, study: optuna.Study, bracket: int) -> optuna.Study:
        """The study as the pruner of one bracket sees it."""

    @abstractmethod
    def resource(self, study: optuna.Study) -> int | None:
        """How many steps the longest training has; ``None`` while nobody knows."""

    @property
    def bracket_budgets(self) -> list[int]:
        """How many trials each bracket takes in one turn; empty before the brackets are made."""
        return list(self._trial_allocation_budgets) if self._pruners else []

    def _try_initialization(self, study: optuna.Study) -> None:
        if self._max_resource == "auto":
            resource = self.resource(study)
            if resource is None:
                return
            self._max_resource = resource
        super()._try_initialization(study)

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return self.bracket_of_trial(study, trial)

    def _create_bracket_study(self, study: optuna.Study, bracket_id: int) -> optuna.Study:
        return self.bracket_view(study, bracket_id)


def study_like(
    kind: type[optuna.Study], study: optuna.Study, pruner: BasePruner | None = None
) -> optuna.Study:
    """The same stored study as another kind of object."""
    return kind(study.study_name, study._storage, study.sampler, pruner or study.pruner)


# Fronts -------------------------------------------------------------------------------------------


def nondomination_rank(losses: np.ndarray, n_below: int | None = None) -> np.ndarray:
    """How many fronts lie before each row of ``[n, k]`` (lower is better): ``[n]`` int.

    Args:
        losses: ``[n, k]``.
        n_below: Rows need only be ranked until so many are; the rest share the next rank.
    """
    ranks: np.ndarray = _fast_non_domination_rank(losses, n_below=n_below)
    return ranks


def dominated_volume(losses: np.ndarray, reference: np.ndarray) -> float:
    """The volume that rows ``[n, k]`` below a reference ``[k]`` dominate."""
    return float(compute_hypervolume(losses, reference))


# Storages -----------------------------------------------------------------------------------------


class BatchedStorage(RDBStorage):
    """An `RDBStorage` that writes what belongs together in one transaction.

    A trial that is made in the state RUNNING has its first heartbeat from that moment: a worker
    that dies before its first beat would otherwise leave a trial RUNNING for ever.
    """

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> models.TrialModel:
        if template_trial is None or template_trial.state != TrialState.RUNNING:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        # Optuna would write a template row by row; this is one flush.
        trial = super()._get_prepared_new_trial(study_id, None, session)
        new_id = cast(int, trial.trial_id)
        if template_trial.datetime_start is not None:
            trial.datetime_start = template_trial.datetime_start
        session.add(models.TrialHeartbeatModel(trial_id=new_id))
        for key, value in template_trial.system_attrs.items():
            session.add(
                models.TrialSystemAttributeModel(
                    trial_id=new_id, key=key, value_json=json.dumps(value)
                )
            )
        session.add_all(
            _rows(
                new_id,
                template_trial.params,
                template_trial.distributions,
                template_trial.user_attrs,
                template_trial.intermediate_values,
                template_trial.values or (),
            )
        )
        return trial

    def new_trial(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        """Make a trial like ``template``; reading it back as others do costs six queries."""
        return self._create_new_trial(study_id, template)

    def write_new_study_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write an attribute of a study; one that is there already stays."""
        with _create_scoped_session(self.scoped_session, ignore_integrity_error=True) as session:
            attribute = models.StudyUserAttributeModel(
                study_id=study_id, key=key, value_json=json.dumps(value)
            )
            session.add(attribute)

    def write_trial(
        self,
        trial_id: int,
        *,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        user_attrs: Mapping[str, Any],
        curve: Mapping[int, float],
        state: TrialState | None,
        values: Sequence[float],
    ) -> None:
        """Write parts of a running trial in one transaction; with ``state``, finish it.

        Raises:
            optuna.exceptions.UpdateFinishedTrialError: The trial is finished already.
        """
        with _create_scoped_session(self.scoped_session) as session:
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self.check_trial_is_updatable(trial_id, cast(TrialState, trial.state))
            session.add_all(_rows(trial_id, params, distributions, user_attrs, curve, values))
            if state is not None:
                trial.state = state
                trial.datetime_complete = datetime.now()

    def stale_trial_ids(self, study_id: int) -> set[int]:
        """Running trials whose heartbeat stopped longer ago than the grace period."""
        return set(self._get_stale_trial_ids(study_id))


def _rows(
    trial_id: int,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    user_attrs: Mapping[str, Any],
    curve: Mapping[int, float],
    values: Sequence[float],
) -> Iterator[Any]:
    for name, param in params.items():
        yield models.TrialParamModel(
            trial_id=trial_id,
            param_name=name,
            param_value=distributions[name].to_internal_repr(param),
            distribution_json=_distribution_json(distributions[name]),
        )
    for key, item in user_attrs.items():
        yield models.TrialUserAttributeModel(
            trial_id=trial_id, key=key, value_json=json.dumps(item)
        )
    for step, point in curve.items():
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(point)
        yield models.TrialIntermediateValueModel(
            trial_id=trial_id, step=step, intermediate_value=stored, intermediate_value_type=kind
        )
    for objective, value in enumerate(values):
        number, value_kind = models.TrialValueModel.value_to_stored_repr(value)
        yield models.TrialValueModel(
            trial_id=trial_id, objective=objective, value=number, value_type=value_kind
        )


@cache
def _distribution_json(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)


def batched_storage(storage: BaseStorage) -> BatchedStorage | None:
    """The `BatchedStorage` below Optuna's cache of trials, if that is what ``storage`` is."""
    backend = getattr(storage, "_backend", storage)
    return backend if isinstance(backend, BatchedStorage) else None
