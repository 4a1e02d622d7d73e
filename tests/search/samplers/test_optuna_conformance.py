"""Optuna's own suite for samplers, run on all of ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing import pytest_samplers

from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.search.samplers import make_sampler
from bequest.search.samplers.evolution import EvolutionSampler
from bequest.search.samplers.gp import GPSampler
from bequest.search.samplers.random import RandomSampler
from bequest.search.samplers.tpe import TPESampler
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.search.surrogates.transfer_prior import TransferPrior
from bequest.spaces import Space
from bequest.testing.samplers import FINITE, score

Make = Callable[[], BaseSampler]


class Sources:
    """A bank's tasks that have measured the finite space."""

    tasks = ("a", "b", "c")

    def __init__(self, space: Space) -> None:
        configs = tuple(space.enumerate())
        values = [[score(c) + 0.1 * i * len(c) for c in configs] for i in range(3)]
        tasks = tuple(BankTask(name, "accuracy") for name in self.tasks)
        self.scores = Scores(space, tasks, configs, np.array(values), ("",) * len(configs))

    def transfer_prior(self) -> TransferPrior:
        return TransferPrior(self.scores)

    def design_prior(self) -> DesignPrior:
        return DesignPrior(self.scores, {})


class Suite(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.MultiObjectiveSamplerTestCase,
):
    """All of Optuna's cases for samplers of any number of objectives."""


class TestRandom(Suite):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: RandomSampler(seed=1)


class TestEvolution(Suite):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: EvolutionSampler(seed=1, population=4)


class TestGP(Suite):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: GPSampler(seed=1, startup=2)


class TestTPE(pytest_samplers.BasicSamplerTestCase, pytest_samplers.MultiObjectiveSamplerTestCase):
    """Without the relative cases: it is Optuna's univariate TPE, which samples each parameter on
    its own and, during its random trials, answers nothing when asked for several at once."""

    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: TPESampler(seed=1)


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources(FINITE)


class BankSuite(
    pytest_samplers.BasicSamplerTestCase, pytest_samplers.MultiObjectiveSamplerTestCase
):
    """Samplers that use a bank have a space, that of the bank's scores.

    Without the relative cases, which hand a sampler parameters that it has not inferred: such a
    sampler proposes nothing for another space, and Optuna samples its parameters one by one. That
    the rest of the suite passes shows that foreign parameters do no harm.
    """

    name = "transfer"

    @pytest.fixture
    def sampler(self, sources: Sources) -> Make:
        return lambda: make_sampler(self.name, FINITE, 1, sources)

    def test_another_space_is_left_to_independent_sampling(self, sampler: Make) -> None:
        study = optuna.create_study(sampler=sampler())
        foreign = {"x": optuna.distributions.FloatDistribution(0, 1)}
        trial = study.ask()
        frozen = study.get_trials()[trial.number]
        assert study.sampler.sample_relative(study, frozen, dict(foreign)) == {}
        assert 0 <= study.ask(dict(foreign)).params["x"] <= 1


class TestTransfer(BankSuite):
    name = "transfer"


class TestAutoTransfer(BankSuite):
    name = "autotransfer"


class TestAutoTransferEvolution(BankSuite):
    name = "autotransfer-evolution"


class TestAutoTransferTPE(BankSuite):
    name = "autotransfer-tpe"
