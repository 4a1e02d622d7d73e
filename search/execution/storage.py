"""The study store: Optuna's, tuned for many small writes and for workers that die.

An Optuna `RDBStorage` writes each parameter, attribute and learning-curve point in a transaction of
its own. Here what belongs together is written together, so a trial is either there whole or not at
all, and a trial costs a third of the time.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState

from ...common.databases import shown, use_write_ahead_log
from ...common.errors import StudyError, reason_of
from ...common.home import home
from ...spaces import Config

HEARTBEAT_SECONDS = 20
GRACE_SECONDS = 120
"""A worker on another host that was silent for so long is taken for dead."""

MEMORY = "memory"


class SqlStorage(RDBStorage):
    """An `RDBStorage` with batched writes and a heartbeat from a trial's first moment.

    Args:
        url: SQLAlchemy's, for example ``sqlite:///studies.db`` or ``postgresql://host/name``.

    Raises:
        StudyError: It is SQLite's in memory.
    """

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite") and sqlalchemy.make_url(url).database in (None, "", ":memory:"):
            raise StudyError(
                f"a study store in memory is storage={MEMORY!r}, not {url!r}: or give a file, "
                "sqlite:///studies.db"
            )
        connect = {"timeout": 60} if url.startswith("sqlite") else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(
                url,
                engine_kwargs={"connect_args": connect},
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
            )
        if url.startswith("sqlite"):
            sqlalchemy.event.listen(self.engine, "connect", _tune_sqlite)
            # The constructor has opened a connection already: drop it, or it stays untuned.
            self.engine.dispose()

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> models.TrialModel:
        # A worker that dies before its first beat would leave a trial RUNNING for ever: the first
        # beat is part of the transaction that makes the trial.
        if template_trial is None or template_trial.state != TrialState.RUNNING:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        trial = super()._get_prepared_new_trial(study_id, None, session)
        trial_id = cast(int, trial.trial_id)
        session.add(models.TrialHeartbeatModel(trial_id=trial_id))
        for key, value in template_trial.system_attrs.items():
            session.add(
                models.TrialSystemAttributeModel(
                    trial_id=trial_id, key=key, value_json=json.dumps(value)
                )
            )
        params, distributions = template_trial.params, template_trial.distributions
        session.add_all(_rows(trial_id, params, distributions, {}, {}, ()))
        return trial

    def write_once(self, study_id: int, key: str, value: Any) -> None:
        """Write an attribute of a study, unless there is one (see `write_once`)."""
        with _create_scoped_session(self.scoped_session, ignore_integrity_error=True) as session:
            attribute = models.StudyUserAttributeModel(
                study_id=study_id, key=key, value_json=json.dumps(value)
            )
            session.add(attribute)

    def write(
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
        """Write everything in one transaction (see `write_trial`)."""
        with _create_scoped_session(self.scoped_session) as session:
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self.check_trial_is_updatable(trial_id, cast(TrialState, trial.state))
            session.add_all(_rows(trial_id, params, distributions, user_attrs, curve, values))
            if state is not None:
                trial.state = state
                trial.datetime_complete = datetime.now()


def _rows(
    trial_id: int,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    user_attrs: Mapping[str, Any],
    curve: Mapping[int, float],
    values: Sequence[float],
) -> list[Any]:
    rows: list[Any] = [
        models.TrialParamModel(
            trial_id=trial_id,
            param_name=name,
            param_value=distributions[name].to_internal_repr(param),
            distribution_json=_distribution_json(distributions[name]),
        )
        for name, param in params.items()
    ]
    rows += [
        models.TrialUserAttributeModel(trial_id=trial_id, key=key, value_json=json.dumps(item))
        for key, item in user_attrs.items()
    ]
    for step, point in curve.items():
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(point)
        rows.append(
            models.TrialIntermediateValueModel(
                trial_id=trial_id,
                step=step,
                intermediate_value=stored,
                intermediate_value_type=kind,
            )
        )
    for objective, value in enumerate(values):
        stored, value_kind = models.TrialValueModel.value_to_stored_repr(value)
        rows.append(
            models.TrialValueModel(
                trial_id=trial_id, objective=objective, value=stored, value_type=value_kind
            )
        )
    return rows


@cache
def _distribution_json(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)


def _tune_sqlite(connection: Any, _record: Any) -> None:
    # A commit survives a killed process; a full sync would cost an fsync a trial.
    use_write_ahead_log(connection)


def open_storage(storage: str | BaseStorage | None) -> BaseStorage:
    """The store behind a URL, ``"memory"``, an Optuna storage, or ``None`` for the home's.

    Raises:
        StudyError: The URL cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(storage, BaseStorage):
        return optuna.storages.get_storage(storage)
    if storage == MEMORY:
        return InMemoryStorage()
    url = storage_url(storage)
    try:
        return optuna.storages.get_storage(_create_or_open(url))
    except StudyError:
        raise
    except (ImportError, RuntimeError, ValueError, sqlalchemy.exc.SQLAlchemyError) as error:
        # A RuntimeError is Optuna's where another version has made the tables.
        reason = reason_of(error)
        raise StudyError(
            f"cannot open the study store {shown(url)!r} ({reason}): give a SQLAlchemy URL such as "
            "sqlite:///studies.db or postgresql+psycopg://user@host/name"
        ) from error


def _create_or_open(url: str) -> SqlStorage:
    """Open a store; where another process is making its tables at this moment, wait for it."""
    for pause in (0.2, 0.5, 1.0):
        try:
            return SqlStorage(url)
        except sqlalchemy.exc.DBAPIError as error:
            if "exists" not in str(error) and "UNIQUE" not in str(error).upper():
                raise
            time.sleep(pause)
    return SqlStorage(url)


def storage_url(storage: str | None) -> str:
    """The URL of a store; the home's where none is given."""
    return storage or f"sqlite:///{home() / 'studies.db'}"


def sql_backend(storage: BaseStorage) -> SqlStorage | None:
    """Our SQL storage below Optuna's cache, if that is what ``storage`` is."""
    backend = getattr(storage, "_backend", storage)
    return backend if isinstance(backend, SqlStorage) else None


def create_trial(storage: BaseStorage, study_id: int, template: FrozenTrial) -> FrozenTrial:
    """Make a trial like ``template`` in one transaction and return it as stored."""
    backend = sql_backend(storage)
    if backend is not None:  # it knows the new trial already: reading it back costs six queries
        return backend._create_new_trial(study_id, template)
    return storage.get_trial(storage.create_new_trial(study_id, template))


def write_trial(
    storage: BaseStorage,
    trial_id: int,
    *,
    params: Config | None = None,
    distributions: Mapping[str, BaseDistribution] | None = None,
    user_attrs: Mapping[str, Any] | None = None,
    curve: Mapping[int, float] | None = None,
    state: TrialState | None = None,
    values: Sequence[float] = (),
) -> None:
    """Write parts of a running trial; with ``state``, finish it.

    One transaction on our SQL storage; call by call, state last, on any other storage of Optuna's.

    Raises:
        optuna.exceptions.UpdateFinishedTrialError: Somebody has finished the trial already.
    """
    params, distributions = params or {}, distributions or {}
    user_attrs, curve = user_attrs or {}, curve or {}
    backend = sql_backend(storage)
    if backend is not None:
        backend.write(
            trial_id,
            params=params,
            distributions=distributions,
            user_attrs=user_attrs,
            curve=curve,
            state=state,
            values=values,
        )
        return
    for name, param in params.items():
        internal = distributions[name].to_internal_repr(param)
        storage.set_trial_param(trial_id, name, internal, distributions[name])
    for key, item in user_attrs.items():
        storage.set_trial_user_attr(trial_id, key, item)
    for step, point in curve.items():
        storage.set_trial_intermediate_value(trial_id, step, point)
    if state is not None:
        storage.set_trial_state_values(trial_id, state, list(values) or None)


def write_once(storage: BaseStorage, study_id: int, key: str, value: Any) -> None:
    """Write an attribute of a study; on our SQL storage, one that is there already stays.

    So processes that begin a study at once agree on what the first of them has written.
    """
    backend = sql_backend(storage)
    if backend is not None:
        backend.write_once(study_id, key, value)
    else:
        storage.set_study_user_attr(study_id, key, value)


def stale_trial_ids(storage: BaseStorage, study_id: int) -> set[int]:
    """Running trials whose heartbeat stopped long ago."""
    backend = sql_backend(storage)
    return set() if backend is None else set(backend._get_stale_trial_ids(study_id))
