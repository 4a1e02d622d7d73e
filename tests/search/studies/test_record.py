"""A stored study, read without its evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bequest import Study
from bequest.common.errors import StudyError
from bequest.common.home import home
from bequest.spaces import Config

MakeStudy = Callable[..., Study]


def test_of_equal_values_the_earliest_is_best(make_study: MakeStudy) -> None:
    assert make_study(lambda c: 1.0).run(trials=5, progress=False).best.slot == 0


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 200, "../escaped"])
def test_a_study_of_any_name_has_a_folder(make_study: MakeStudy, name: str) -> None:
    folder = make_study(name=name).record.folder
    folder.mkdir(parents=True)
    assert folder.parent == home() / "artifacts"
    other = make_study(name=f"{name}x").record.folder
    assert folder.name.rsplit("-", 1)[0] != other.name.rsplit("-", 1)[0]


def test_nothing_is_best_before_the_first_trial(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="no complete trial yet"):
        _ = make_study().best


def test_studies_of_one_name_have_files_of_their_own(make_study: MakeStudy, tmp_path: Path) -> None:
    stores = [f"sqlite:///{tmp_path / name}" for name in ("one.db", "two.db")]
    folders = [make_study(name="same", storage=url).record.folder for url in [*stores, *stores]]
    assert folders[:2] == folders[2:]
    assert len({*folders}) == 2
    likes = [make_study(name=name, storage=stores[0]).record.folder for name in ("a/b", "a_b")]
    assert len({*likes}) == 2


def test_without_a_complete_trial_the_last_reason_is_said(make_study: MakeStudy) -> None:
    def train(config: Config) -> float:
        raise ValueError("no such column")

    study = make_study(train).run(trials=2, progress=False)
    with pytest.raises(StudyError, match=r"its last trial: ValueError: no such column"):
        _ = study.best
