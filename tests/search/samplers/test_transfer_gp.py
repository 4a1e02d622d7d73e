"""Search from a transfer prior: it starts where earlier tasks ended, and learns to mistrust."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from bequest import banks
from bequest.search.samplers.base import Observation
from bequest.search.samplers.gp import STARTS, Search
from bequest.search.samplers.transfer_gp import TransferGPSampler
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.search.surrogates.transfer_prior import TransferPrior
from bequest.search.surrogates.transfer_process import TransferProcess
from bequest.search.surrogates.transforms import warp
from bequest.spaces import Config, Space
from bequest.testing.samplers import CONDITIONAL, FINITE, SamplerConformance, score
from tests.search.proposals import SPACES, check, proposals, scores_of
from tests.search.transfer_tasks import CONFIGS, GRID, RELATED, additive, bank_of


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
    target = np.array([additive(99)(c) for c in CONFIGS])
    found = search(TransferGPSampler(GRID, TransferPrior(RELATED)), target, 1)
    assert (target > found[0]).mean() < 0.05


def test_related_tasks_save_trials() -> None:
    target = np.array([additive(99)(c) for c in CONFIGS])
    good = np.sort(target)[-3]
    found = search(TransferGPSampler(GRID, TransferPrior(RELATED)), target, 12)
    assert max(found) >= good, "one of the best three of 256 in twelve trials"


def test_tasks_that_mislead_lose_their_say() -> None:
    target = -np.array([additive(99)(c) for c in CONFIGS])
    prior = TransferPrior(RELATED)
    rng = np.random.default_rng(1)
    tried = rng.choice(len(CONFIGS), 25, replace=False)
    configs = [CONFIGS[i] for i in tried]
    misled = TransferProcess(prior, configs, warp(target[tried]))
    helped = TransferProcess(prior, configs, warp(-target[tried]))
    assert sum(misled.source_weights().values()) < 0 < sum(helped.source_weights().values())
    found = search(TransferGPSampler(GRID, prior), target, 25)
    assert max(found) >= np.sort(target)[-3]


def test_in_a_large_space_the_search_starts_from_the_banks_most_promising(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    configs = tuple(CONDITIONAL.sample(rng) for _ in range(40))
    prior = TransferPrior(bank_of(CONDITIONAL, [score, lambda c: score(c) + 0.1], configs))
    sampler = TransferGPSampler(CONDITIONAL, prior)
    complete = optuna.trial.TrialState.COMPLETE
    history = [Observation(c, score(c), complete) for c in configs[:3]]
    process, y = sampler._process(history)
    expected = process.log_expected_improvement(prior.bank_views, y.max())
    order = np.argsort(-expected.numpy(), kind="stable")[:STARTS]
    shown: list[object] = []
    climb = Search.climb

    def spy(self: Search, leaders: list[Config], rng: object, starts: list[Config]) -> list[Config]:
        shown.extend([leaders, starts])
        return climb(self, leaders, rng, starts)  # type: ignore[arg-type]

    monkeypatch.setattr(Search, "climb", spy)
    sampler.propose(CONDITIONAL, history, rng)
    best_first = sorted(configs[:3], key=score, reverse=True)
    assert shown == [best_first, [configs[i] for i in order]]


def test_explanation_before_any_trial() -> None:
    sampler = TransferGPSampler(GRID, TransferPrior(RELATED))
    assert sum(sampler.explain([]).values()) == pytest.approx(1)
    running = [Observation(CONFIGS[0], None, optuna.trial.TrialState.RUNNING)]
    assert sum(sampler.explain(running).values()) == pytest.approx(1)


def test_the_documented_code_of_version_0_1_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="TransferPrior"):
        prior = banks.Inheritance(RELATED)
    assert TransferGPSampler(GRID, prior, seed=0).prior is prior
    with pytest.warns(DeprecationWarning, match="design_prior"):
        assert banks.DesignPrior is DesignPrior
    with pytest.raises(AttributeError, match="no attribute 'Inheritanc'"):
        banks.Inheritanc  # noqa: B018


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_proposals_are_those_of_version_0_1(space: Space) -> None:
    sampler = TransferGPSampler(space, TransferPrior(scores_of(space)), seed=1)
    check(f"transfer {space.name}", proposals(sampler, space))
