"""One name, one search: what is refused, and what that leaves behind."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from bequest import Study
from bequest.common.errors import BequestError, StudyError
from bequest.spaces import Space

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"seed": 1}, "seed"), ({"sampler": "tpe"}, "sampler"), ({"pruner": "median"}, "pruner")],
)
def test_a_name_belongs_to_one_search(
    make_study: MakeStudy, changed: dict[str, Any], word: str
) -> None:
    storage = optuna.storages.InMemoryStorage()
    make_study(storage=storage)
    with pytest.raises(StudyError, match=f"begun with {word}.*another name"):
        make_study(storage=storage, **changed)


def test_a_name_belongs_to_one_space(make_study: MakeStudy, toy_space: Space) -> None:
    storage = optuna.storages.InMemoryStorage()
    make_study(storage=storage)
    smaller = Space("toy", toy_space.parameters[:2])
    with pytest.raises(StudyError, match="space hash"):
        Study.of(lambda c: 1.0, smaller, name="toy", sampler="random", storage=storage)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"seed": -1}, "seed is -1: give 0 or more"),
        ({"direction": "max"}, "direction is 'max': say 'maximize' or 'minimize'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    make_study: MakeStudy, asked: dict[str, Any], reason: str
) -> None:
    with pytest.raises(StudyError, match=reason):
        make_study(**asked)


def test_a_run_of_nothing_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="trials is 0"):
        make_study().run(trials=0)
    with pytest.raises(StudyError, match="workers is 0"):
        make_study().run(trials=3, workers=0)


@pytest.mark.parametrize(
    "refused",
    [{"pruner": "typo"}, {"sampler": "typo"}, {"bank": "typo"}, {"minimize": ["x", "x"]}],
)
def test_what_is_refused_leaves_no_study_behind(
    make_study: MakeStudy, tmp_path: Path, refused: dict[str, Any]
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    with pytest.raises(BequestError):
        make_study(storage=url, direction="minimize", **{"sampler": "transfer", **refused})
    assert optuna.get_all_study_names(url) == []
    study = make_study(storage=url, direction="maximize")
    assert study.optuna_study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_what_is_refused_leaves_an_older_study_as_it_is(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    make_study(storage=url)
    with pytest.raises(StudyError, match="begun with seed"):
        make_study(storage=url, seed=1)
    assert optuna.get_all_study_names(url) == ["toy"]


def test_those_who_begin_a_study_at_once_agree_on_its_key(
    make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    others: list[Study] = []
    make_key = uuid.uuid4

    def meanwhile() -> uuid.UUID:
        if not others:
            monkeypatch.setattr(uuid, "uuid4", make_key)
            others.append(make_study(storage=url))
        return make_key()

    monkeypatch.setattr(uuid, "uuid4", meanwhile)
    mine = make_study(storage=url)
    assert mine.record.key == others[0].record.key == make_study(storage=url).record.key


def test_an_empty_study_that_searches_the_other_way_is_refused(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    optuna.create_study(study_name="toy", storage=url, direction="minimize")
    with pytest.raises(StudyError, match="that is to minimize, not to maximize: give the new"):
        make_study(storage=url)


def test_somebody_elses_study_is_not_taken_over(make_study: MakeStudy, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    theirs = optuna.create_study(study_name="toy", storage=url, direction="maximize")
    theirs.optimize(lambda trial: trial.suggest_float("z", 0, 1), n_trials=2)
    with pytest.raises(StudyError, match="that Bequest did not make: give the new study another"):
        make_study(storage=url)
