"""The study store passes Optuna's own conformance suite, and what it adds to Optuna's storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState

from bequest.common.errors import StudyError
from bequest.search.execution.slots import SlotStudy
from bequest.search.execution.storage import (
    SqlStorage,
    create_trial,
    open_storage,
    stored_trial,
    write_new_study_attr,
    write_trial,
)


class TestSqlStorageConformance(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        storage = SqlStorage(f"sqlite:///{tmp_path}/s.db")
        yield storage
        storage.remove_session()


class TestOpenedStorageConformance(StorageTestCase):
    """As studies use it: below Optuna's cache of finished trials."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        storage = open_storage(f"sqlite:///{tmp_path}/s.db")
        yield storage
        storage.remove_session()


@pytest.fixture(params=["sqlite", "memory"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> SlotStudy:
    url = f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else "memory"
    storage = open_storage(url)
    optuna.create_study(study_name="s", storage=storage)
    return SlotStudy("s", storage)


def test_a_trial_is_written_at_once_on_every_store(study: SlotStudy) -> None:
    distribution = optuna.distributions.FloatDistribution(0, 1)
    template = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params={"x": 0.5},
        distributions={"x": distribution},
        user_attrs={"note": [1, 2]},
        system_attrs={"owner": "me"},
    )
    trial = create_trial(study, template)
    assert trial.params == {"x": 0.5}
    write_trial(
        study, trial, user_attrs={"a": 1}, curve={3: 0.25}, state=TrialState.COMPLETE, values=[2.0]
    )
    stored = stored_trial(study, trial)
    assert stored.state == TrialState.COMPLETE
    assert stored.value == 2.0
    assert stored.intermediate_values == {3: 0.25}
    assert stored.user_attrs == {"note": [1, 2], "a": 1}
    assert stored.system_attrs == {"owner": "me"}
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        write_trial(study, trial, user_attrs={"late": 1})


def test_a_trial_that_begins_has_a_heartbeat(tmp_path: Path) -> None:
    storage = SqlStorage(f"sqlite:///{tmp_path}/s.db")
    study = optuna.create_study(storage=storage)
    create_trial(study, optuna.trial.create_trial(state=TrialState.RUNNING))
    storage.grace_period = -1  # every beat is stale at once
    assert storage.stale_trial_ids(storage.get_all_studies()[0]._study_id) == {1}


def test_processes_that_begin_a_study_agree_on_the_first_attribute(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/s.db")
    optuna.create_study(study_name="s", storage=storage)
    for key in ("first", "second"):
        write_new_study_attr(SlotStudy("s", storage), "key", key)
    assert SlotStudy("s", storage).user_attrs == {"key": "first"}


def test_sqlite_in_memory_is_refused() -> None:
    with pytest.raises(StudyError, match="storage='memory'"):
        open_storage("sqlite:///:memory:")
