"""Gaussian-process search: what it promises beyond the conformance suite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from bequest.search.samplers.base import Observation
from bequest.search.samplers.gp import GPSampler, neighbour
from bequest.spaces import Config, Parameter, Space
from bequest.spaces.nas_bench_graph import NasBenchGraphSpace, tree_of
from bequest.testing.samplers import (
    CONDITIONAL,
    FINITE,
    SamplerConformance,
    run,
    score,
)
from tests.search.proposals import SPACES, check, proposals

BRANIN = Space(
    "branin",
    [Parameter("x", FloatDistribution(-5, 10)), Parameter("y", FloatDistribution(0, 15))],
)


def branin(config: Config) -> float:
    """Negated: its three maxima are -0.398."""
    x, y = float(config["x"]), float(config["y"])
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return -(bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


class TestGPSampler(SamplerConformance):
    name = "gp"
    never_repeats = True


def test_finds_branins_optimum() -> None:
    study = run(GPSampler(BRANIN, seed=0), BRANIN, 24, objective=branin)
    assert study.best_value > -0.8


def test_the_default_comes_first() -> None:
    study = run(GPSampler(CONDITIONAL, seed=9), CONDITIONAL, 1)
    assert study.trials[0].params == CONDITIONAL.default


def test_finds_the_best_of_a_finite_conditional_space_early() -> None:
    found = []
    for seed in range(3):
        study = run(GPSampler(FINITE, seed=seed), FINITE, 12)
        found.append(study.best_value == max(score(config) for config in FINITE.enumerate()))
    assert sum(found) >= 2


def test_networks_are_not_trained_twice_under_two_names() -> None:
    space = NasBenchGraphSpace()

    def prefers_chains_of_gat(config: Config) -> float:
        return str(tree_of(config)).count("gat") - str(tree_of(config)).count("skip")

    study = run(GPSampler(space, seed=0), space, 16, objective=prefers_chains_of_gat)
    assert len({tree_of(trial.params) for trial in study.trials}) == 16
    assert study.best_value == 4


def test_the_next_proposal_avoids_what_runs() -> None:
    """A second worker, asking while the first still trains, is sent elsewhere."""
    study = run(GPSampler(BRANIN, seed=1), BRANIN, 12, objective=branin)
    first, second = (BRANIN.suggest(study.ask()) for _ in range(2))
    assert math.dist(first.values(), second.values()) > 1e-3  # type: ignore[arg-type]


def test_failures_keep_it_away() -> None:
    """Half of the range fails: late proposals are mostly from the other half."""

    def objective(config: Config) -> float:
        if float(config["x"]) > 2.5:
            raise RuntimeError("diverged")
        return float(config["x"])

    space = Space("half", [Parameter("x", FloatDistribution(0, 5))])
    study = run(GPSampler(space, seed=0), space, 20, objective=objective)
    late = [trial.state == TrialState.COMPLETE for trial in study.trials[10:]]
    assert np.mean(late) > 0.5
    assert study.best_value > 2.0


def test_a_pruned_trial_counts_with_its_last_report() -> None:
    space = Space("line", [Parameter("x", IntDistribution(0, 20))])
    sampler = GPSampler(space, seed=0)

    def propose(pruned_value: float) -> Config:
        history = [
            Observation({"x": x}, -abs(x - 5.0), TrialState.COMPLETE) for x in (0, 2, 8, 11, 14)
        ]
        history.append(Observation({"x": 20}, pruned_value, TrialState.PRUNED))
        return sampler.propose(space, history, np.random.default_rng(0))

    assert abs(int(propose(-15.0)["x"]) - 5) <= 1
    assert int(propose(30.0)["x"]) >= 15


def test_a_neighbour_moves_one_or_two_numbers_a_little_or_makes_one_choice_anew() -> None:
    rng = np.random.default_rng(0)
    config: Config = {"layer": "gat", "heads": 4, "dropout": 0.5, "rate": 0.01, "fixed": "only"}
    moved, other = [], 0
    for _ in range(300):
        near = CONDITIONAL.validate(neighbour(CONDITIONAL, config, rng, 0.05))
        changed = [n for n in config if near.get(n) != config[n]]
        if near["layer"] != "gat":
            other += 1
        elif changed == ["rate"]:
            moved.append(math.log10(float(near["rate"]) / 0.01) / 3)
        assert len(changed) <= 3
    assert 20 < other < 100, "a choice anew in two of five cases"
    steps = np.abs(moved)
    assert np.median(steps) < 0.1, "numbers move by a share of their range"
    assert (steps > 0.3).any(), "but may be drawn anew, too"
    choices = FINITE.validate({"a": "z", "c": 0.5})
    assert neighbour(FINITE, choices, rng, 0.5) is not choices


def test_a_suggestion_leaves_the_callers_threads_and_streams_alone() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    run(GPSampler(CONDITIONAL, seed=0), CONDITIONAL, 8)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_proposals_are_those_of_version_0_1(space: Space) -> None:
    check(f"gp {space.name}", proposals(GPSampler(space, seed=1), space, 18))
