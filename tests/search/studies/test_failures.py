"""A run in which most trials fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bequest import Study
from bequest.common.errors import StudyError

MakeStudy = Callable[..., Study]


def test_a_run_in_which_most_trials_fail_stops_with_the_reason(make_study: MakeStudy) -> None:
    study = make_study(lambda c: 1 / 0)
    with pytest.raises(StudyError, match="4 of 4 trials failed.*ZeroDivisionError"):
        study.run(trials=100, progress=False)
    assert len(study.trials) == 4


def test_whoever_mends_the_cause_may_go_on(make_study: MakeStudy) -> None:
    works = False

    def train(config: dict[str, Any]) -> float:
        return 1.0 if works else 1 / 0

    study = make_study(train)
    with pytest.raises(StudyError):
        study.run(trials=10, progress=False)
    works = True
    study.run(trials=10, progress=False)
    assert [t.state for t in study.trials] == ["failed"] * 4 + ["complete"] * 6
