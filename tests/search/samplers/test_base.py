"""What samplers see of a study, and how a proposal comes about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from bequest.search.samplers.base import TRIES, Observation, SpaceSampler, observations, slot_of
from bequest.search.samplers.scalarise import scalarised
from bequest.spaces import Condition, Config, Parameter, Space

SPACE = Space(
    "pair",
    [
        Parameter("kind", CategoricalDistribution(["a", "b"])),
        Parameter("x", FloatDistribution(0, 1), Condition("kind", ("b",))),
    ],
)


class Counting(SpaceSampler):
    """Proposes x = .1, .2, ... by the number of earlier trials; remembers what it was shown."""

    def __init__(self, space: Space | None = SPACE, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.shown: list[list[Observation]] = []

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        self.shown.append(list(history))
        return {"kind": "b", "x": round(0.1 + 0.05 * len(history), 2)}


Row = tuple[TrialState, dict[str, object], float | None]


def study_with(direction: str, *trials: Row) -> optuna.Study:
    study = optuna.create_study(direction=direction)  # type: ignore[arg-type]
    for state, params, value in trials:
        pruned = state == TrialState.PRUNED
        study.add_trial(
            create_trial(
                state=state,
                params=params,
                distributions={
                    p.name: p.distribution for p in SPACE.parameters if p.name in params
                },
                value=value,
                intermediate_values={0: value} if pruned else None,
            )
        )
    return study


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1.0), ("minimize", -1.0)])
def test_a_history_is_of_whole_configurations_and_higher_is_better(
    direction: str, sign: float
) -> None:
    study = study_with(
        direction,
        (TrialState.COMPLETE, {"kind": "a"}, 0.3),
        (TrialState.FAIL, {"kind": "b", "x": 0.5}, None),
        (TrialState.PRUNED, {"kind": "b", "x": 0.7}, 0.9),
        (TrialState.COMPLETE, {"kind": "b"}, 0.1),  # x is missing
        (TrialState.COMPLETE, {"kind": "a", "x": 0.5}, 0.1),  # x is not active
    )
    seen = observations(study, None, SPACE)
    assert [(o.config, o.value, o.state) for o in seen] == [
        ({"kind": "a"}, sign * 0.3, TrialState.COMPLETE),
        ({"kind": "b", "x": 0.5}, None, TrialState.FAIL),
        ({"kind": "b", "x": 0.7}, sign * 0.9, TrialState.PRUNED),
    ]
    assert not any(o.running for o in seen)


def test_running_trials_are_seen_but_not_the_one_to_be_proposed_for() -> None:
    study = optuna.create_study()
    sampler = Counting()
    study.sampler = sampler
    first = study.ask()
    assert SPACE.suggest(first)["x"] == 0.1
    second = study.ask()
    assert SPACE.suggest(second)["x"] == 0.15
    third = study.ask()
    assert SPACE.suggest(third)["x"] == 0.2
    assert [o.running for o in sampler.shown[-1]] == [True, True]
    assert slot_of(study, study.trials[2]) == 2


def test_several_objectives_become_one_with_the_directions_signs() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for values in ([1.0, 3.0], [2.0, 5.0], [0.0, 1.0]):
        trial = study.ask()
        SPACE.suggest(trial)
        study.tell(trial, values)
    weights = np.array([0.3, 0.7])
    seen = observations(study, None, SPACE, weights)
    signed = np.array([[1.0, -3.0], [2.0, -5.0], [0.0, -1.0]])
    assert [o.value for o in seen] == pytest.approx(scalarised(signed, weights))
    equal = observations(study, None, SPACE)
    assert [o.value for o in equal] == pytest.approx(scalarised(signed, np.array([0.5, 0.5])))


def test_what_is_not_allowed_is_replaced_and_counts_as_failed() -> None:
    sampler = Counting()
    sampler.allows = lambda config: float(config["x"]) > 0.18
    study = optuna.create_study(sampler=sampler)
    assert SPACE.suggest(study.ask())["x"] == 0.2
    assert [len(history) for history in sampler.shown] == [0, 1, 2]
    assert sampler.shown[-1][-1] == Observation({"kind": "b", "x": 0.15}, None, TrialState.FAIL)


def test_in_the_end_a_proposal_is_tried_even_if_it_is_not_allowed() -> None:
    sampler = Counting()
    sampler.propose = lambda space, history, rng: {"kind": "a"}  # type: ignore[method-assign]
    calls: list[Config] = []
    sampler.allows = lambda config: bool(calls.append(config))
    assert SPACE.suggest(optuna.create_study(sampler=sampler).ask()) == {"kind": "a"}
    assert len(calls) == TRIES


def test_independent_draws_depend_on_seed_slot_and_name_alone() -> None:
    draws = {}
    for seed in (0, 1):
        study = optuna.create_study(sampler=Counting(seed=seed))
        for slot in range(2):
            trial = study.ask()
            for name in ("u", "v"):
                draws[seed, slot, name] = trial.suggest_float(name, 0, 1)
    assert len(set(draws.values())) == 8
    study = optuna.create_study(sampler=Counting(seed=1))
    again = study.ask()
    assert (again.suggest_float("v", 0, 1), again.suggest_float("u", 0, 1)) == (
        draws[1, 0, "v"],
        draws[1, 0, "u"],
    )
