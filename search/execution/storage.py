"""The study store: Optuna's, tuned for many small writes and for workers that die.

An Optuna `RDBStorage` writes each parameter, attribute and learning-curve point in a transaction of
its own. Here what belongs together is written together: a trial is stored completely or not at all,
and costs a third of the time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from ...common.databases import shown, use_write_ahead_log
from ...common.errors import StudyError, reason_of
from ...common.home import home
from ...spaces import Config
from ..optuna_backend import BatchedStorage, batched_storage, storage_of, study_id, trial_id

HEARTBEAT_SECONDS = 20
GRACE_SECONDS = 120
"""A worker on another host that has been silent for this long counts as dead."""

MEMORY = "memory"


class SqlStorage(BatchedStorage):
    """A `BatchedStorage` with heartbeats, and SQLite's write-ahead log.

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


def has_database(storage: BaseStorage) -> bool:
    """Whether other processes can open the same store."""
    return not isinstance(storage, InMemoryStorage)


def database_url(study: optuna.Study) -> str | None:
    """The URL under which other processes open the study's store; ``None`` if they cannot."""
    backend = batched_storage(storage_of(study))
    return None if backend is None else str(backend.url)


def create_trial(study: optuna.Study, template: FrozenTrial) -> FrozenTrial:
    """Make a trial like ``template`` in one transaction and return it as stored."""
    storage = storage_of(study)
    backend = batched_storage(storage)
    if backend is not None:
        return backend.new_trial(study_id(study), template)
    return storage.get_trial(storage.create_new_trial(study_id(study), template))


def stored_trial(study: optuna.Study, trial: FrozenTrial) -> FrozenTrial:
    """The trial with everything that has been written of it since it was read."""
    return storage_of(study).get_trial(trial_id(trial))


def write_trial(
    study: optuna.Study,
    trial: FrozenTrial,
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
        optuna.exceptions.UpdateFinishedTrialError: The trial is finished already.
    """
    params, distributions = params or {}, distributions or {}
    user_attrs, curve = user_attrs or {}, curve or {}
    storage, key = storage_of(study), trial_id(trial)
    backend = batched_storage(storage)
    if backend is not None:
        backend.write_trial(
            key,
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
        storage.set_trial_param(key, name, internal, distributions[name])
    for name, item in user_attrs.items():
        storage.set_trial_user_attr(key, name, item)
    for step, point in curve.items():
        storage.set_trial_intermediate_value(key, step, point)
    if state is not None:
        storage.set_trial_state_values(key, state, list(values) or None)


def report_value(study: optuna.Study, trial: FrozenTrial, step: int, value: float) -> None:
    """Write one point of a running trial's learning curve."""
    storage_of(study).set_trial_intermediate_value(trial_id(trial), step, value)


def write_system_attr(study: optuna.Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Write a system attribute of a running trial."""
    storage_of(study).set_trial_system_attr(trial_id(trial), key, value)


def write_new_study_attr(study: optuna.Study, key: str, value: Any) -> None:
    """Write an attribute of a study; on our SQL storage, one that is there already stays.

    So processes that begin a study at the same time agree on what the first of them wrote.
    """
    storage = storage_of(study)
    backend = batched_storage(storage)
    if backend is not None:
        backend.write_new_study_attr(study_id(study), key, value)
    else:
        storage.set_study_user_attr(study_id(study), key, value)


def stale_trial_ids(study: optuna.Study) -> set[int]:
    """The ids of running trials whose heartbeat stopped longer than `GRACE_SECONDS` ago."""
    backend = batched_storage(storage_of(study))
    return set() if backend is None else backend.stale_trial_ids(study_id(study))


def heartbeat_of(study: optuna.Study) -> Callable[[int], None] | None:
    """What records a heartbeat for a trial's id, if the store has heartbeats."""
    backend = batched_storage(storage_of(study))
    return None if backend is None else backend.record_heartbeat
