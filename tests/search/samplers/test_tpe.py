"""TPE as a pure function of seed, slot and trials."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from bequest.search.samplers.tpe import TPESampler
from bequest.spaces import Space
from bequest.testing.samplers import CONDITIONAL, SamplerConformance, run, score
from tests.search.proposals import SPACES, check, proposals


class TestTPESampler(SamplerConformance):
    name = "tpe"

    def test_learns(self) -> None:
        ours = run(TPESampler(CONDITIONAL, seed=0), CONDITIONAL, 60)
        late = [score(trial.params) for trial in ours.trials[40:]]
        early = [score(trial.params) for trial in ours.trials[:20]]
        assert sum(late) > sum(early)

    def test_first_trials_are_optunas_own_random_ones(self) -> None:
        study = optuna.create_study(sampler=TPESampler(seed=5))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        assert [trial.params["x"] for trial in study.trials] == [_random(5, s) for s in range(3)]


def _random(seed: int, slot: int) -> float:
    """What Optuna's random sampler draws first, with the seed that a slot has."""
    entropy = int(np.random.SeedSequence([seed, slot]).generate_state(1)[0])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=entropy))
    return study.ask().suggest_float("x", 0, 1)


@pytest.mark.skipif(
    optuna.__version__ < "5", reason="version 0.1.0 proposed with Optuna 5, whose TPE differs"
)
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_proposals_are_those_of_version_0_1(space: Space) -> None:
    check(f"tpe {space.name}", proposals(TPESampler(space, seed=1), space, 18))
