"""The inheriting Gaussian process: it starts where earlier tasks ended, and learns to mistrust."""

from __future__ import annotations

import itertools

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution

from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.common.errors import BankError
from bequest.search.samplers.base import Observation
from bequest.search.samplers.transfer_gp import TransferGPSampler
from bequest.search.surrogates.source_views import KERNELS
from bequest.search.surrogates.transfer_prior import TransferPrior
from bequest.search.surrogates.transfer_process import TransferProcess
from bequest.search.surrogates.transforms import gaussianised, warp
from bequest.spaces import Config, Parameter, Space
from bequest.spaces.counts import counts
from bequest.testing.samplers import FINITE, SamplerConformance, score

GRID = Space(
    "grid", [Parameter(n, CategoricalDistribution(list("abcd"))) for n in ("p", "q", "r", "s")]
)
CONFIGS = tuple(GRID.enumerate())


def bank_of(space: Space, functions: list[object], configs: tuple[Config, ...]) -> Scores:
    values = np.array([[f(c) for c in configs] for f in functions])  # type: ignore[operator]
    tasks = tuple(BankTask(f"task{i}", "accuracy") for i in range(len(functions)))
    return Scores(space, tasks, configs, values, ("",) * len(configs))


def effects(seed: int) -> dict[tuple[str, str], float]:
    rng = np.random.default_rng(seed)
    return {key: rng.normal() for key in itertools.product("pqrs", "abcd")}


def additive(seed: int, noise: float = 0.3) -> object:
    table, noises = effects(0), np.random.default_rng(seed)
    drawn = {tuple(c.values()): noise * noises.normal() for c in CONFIGS}
    return lambda c: sum(table[k, str(v)] for k, v in c.items()) + drawn[tuple(c.values())]


RELATED = bank_of(GRID, [additive(seed) for seed in range(1, 7)], CONFIGS)


def search(sampler: TransferGPSampler, values: np.ndarray, trials: int) -> list[float]:
    """Values in the order in which the sampler finds them."""
    place = {tuple(c.items()): v for c, v in zip(CONFIGS, values, strict=True)}
    study = optuna.create_study(direction="maximize", sampler=sampler)
    found = []
    for _ in range(trials):
        trial = study.ask()
        value = place[tuple(GRID.suggest(trial).items())]
        study.tell(trial, float(value))
        found.append(float(value))
    return found


class TestConformance(SamplerConformance):
    name = "transfer"
    uses_bank = True
    never_repeats = True

    def make(self, space: Space, seed: int = 3) -> TransferGPSampler:
        rng = np.random.default_rng(0)
        configs = tuple(
            FINITE.enumerate() if space is FINITE else (space.sample(rng) for _ in range(40))
        )
        shifted = [lambda c, i=i: score(c) + 0.01 * i * len(c) for i in range(4)]
        return TransferGPSampler(space, TransferPrior(bank_of(space, shifted, configs)), seed=seed)


def test_the_first_trial_is_what_earlier_tasks_think_most_of() -> None:
    target = np.array([additive(99)(c) for c in CONFIGS])  # type: ignore[operator]
    found = search(TransferGPSampler(GRID, TransferPrior(RELATED)), target, 1)
    assert (target > found[0]).mean() < 0.05


def test_related_tasks_save_trials() -> None:
    target = np.array([additive(99)(c) for c in CONFIGS])  # type: ignore[operator]
    good = np.sort(target)[-3]
    found = search(TransferGPSampler(GRID, TransferPrior(RELATED)), target, 12)
    assert max(found) >= good, "one of the best three of 256 in twelve trials"


def test_tasks_that_mislead_lose_their_say() -> None:
    target = -np.array([additive(99)(c) for c in CONFIGS])  # type: ignore[operator]
    prior = TransferPrior(RELATED)
    rng = np.random.default_rng(1)
    tried = rng.choice(len(CONFIGS), 25, replace=False)
    configs = [CONFIGS[i] for i in tried]
    misled = TransferProcess(prior, configs, warp(target[tried]))
    helped = TransferProcess(prior, configs, warp(-target[tried]))
    assert sum(misled.source_weights().values()) < 0 < sum(helped.source_weights().values())
    found = search(TransferGPSampler(GRID, prior), target, 25)
    assert max(found) >= np.sort(target)[-3]


def test_trust_is_the_derivative_of_the_prediction_by_an_opinion() -> None:
    prior = TransferPrior(RELATED, {"task1": 0.3})
    tried, new = [3, 50, 90, 140, 200], [20]
    y = warp(np.array([additive(99)(CONFIGS[i]) for i in tried]))  # type: ignore[operator]
    process = TransferProcess(prior, [CONFIGS[i] for i in tried], y)
    x, z = counts(GRID, [CONFIGS[i] for i in new]), prior._z[:, new]
    now = prior._sources.views(x, z)

    def linear(z: np.ndarray) -> float:
        """The parts of the prediction that are linear in what a task holds and thinks."""
        views = prior._sources.views(x, z)
        views.predictions = now.predictions + views.scores - now.scores
        kernels = views.kernels(process.x, prior.scales)[:2]
        cross = torch.einsum("sk,kij->sij", process.settings[:, :2], kernels)
        mean = process.settings[:, KERNELS] * views.mean
        return float(process.log_shares.exp() @ ((cross @ process.weights).flatten() + mean))

    for k, trust in enumerate(process.source_weights().values()):
        step = np.zeros_like(z)
        step[k] = 1e-4
        assert trust == pytest.approx((linear(z + step) - linear(z - step)) / 2e-4, rel=1e-6)


def test_a_task_without_relatives_is_searched_by_its_own_process() -> None:
    rng = np.random.default_rng(5)
    tasks = tuple(BankTask(f"task{i}", "accuracy") for i in range(4))
    noise = rng.normal(size=(4, len(CONFIGS)))
    prior = TransferPrior(Scores(GRID, tasks, CONFIGS, noise, ("",) * len(CONFIGS)))
    target = np.array([additive(99)(c) for c in CONFIGS])  # type: ignore[operator]
    tried = rng.choice(len(CONFIGS), 25, replace=False)
    process = TransferProcess(prior, [CONFIGS[i] for i in tried], warp(target[tried]))
    assert process.guarded > 0.2


def test_missing_scores_are_modelled() -> None:
    values = RELATED.values.copy()
    hidden = np.random.default_rng(0).random(values.shape) < 0.5
    holed = Scores(GRID, RELATED.tasks, CONFIGS, np.where(hidden, np.nan, values), RELATED.origins)
    views = TransferPrior(holed).bank_views
    truth = np.stack([gaussianised(row) for row in values])
    modelled = views.scores.numpy().T[hidden]
    assert np.corrcoef(modelled, truth[hidden])[0, 1] > 0.8


def test_opinions_are_by_task() -> None:
    opinions = TransferPrior(RELATED).source_scores(CONFIGS[0])
    assert list(opinions) == [t.name for t in RELATED.tasks]
    assert opinions["task0"] == pytest.approx(gaussianised(RELATED.values[0])[0])


def test_relevance_moves_the_mean() -> None:
    opposed = bank_of(GRID, [additive(1), lambda c: -additive(2)(c)], CONFIGS)  # type: ignore[operator]
    first = TransferPrior(opposed, {"task1": 0.01}).bank_views.mean
    second = TransferPrior(opposed, {"task0": 0.01}).bank_views.mean
    assert np.corrcoef(first, second)[0, 1] < -0.5


def test_an_empty_bank_is_refused() -> None:
    with pytest.raises(BankError, match="says nothing of space 'grid'"):
        TransferPrior(RELATED.only([]))


def test_explanation_before_any_trial() -> None:
    sampler = TransferGPSampler(GRID, TransferPrior(RELATED))
    assert sum(sampler.explain([]).values()) == pytest.approx(1)
    running = [Observation(CONFIGS[0], None, optuna.trial.TrialState.RUNNING)]
    assert sum(sampler.explain(running).values()) == pytest.approx(1)
