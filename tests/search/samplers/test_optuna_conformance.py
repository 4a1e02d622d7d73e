"""Optuna's own suite for samplers, run on all of ours."""

from __future__ import annotations

from collections.abc import Callable

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
        self.scores = Scores(space, tasks, configs, pytest.importorskip("numpy").array(values), ("",) * len(configs))

    def transfer_prior(self) -> TransferPrior:
        return TransferPrior(self.scores)

    def design_prior(self) -> DesignPrior:
        return DesignPrior(self.scores, {})


class Suite(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.MultiObjectiveSamplerTestCase,
):
    """All of Optuna's cases."""


class TestRandom(Suite):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: RandomSampler(seed=1)


class TestTPE(Suite):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: TPESampler(seed=1)


class TestEvolution(Suite):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: EvolutionSampler(seed=1, population=4)


class TestGP(Suite):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: GPSampler(seed=1, startup=2)


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources(FINITE)


class TestTransfer(Suite):
    @pytest.fixture
    def sampler(self, sources: Sources) -> Make:
        return lambda: make_sampler("transfer", FINITE, 1, sources)


class TestAutoTransfer(Suite):
    @pytest.fixture
    def sampler(self, sources: Sources) -> Make:
        return lambda: make_sampler("autotransfer", FINITE, 1, sources)


class TestAutoTransferEvolution(Suite):
    @pytest.fixture
    def sampler(self, sources: Sources) -> Make:
        return lambda: make_sampler("autotransfer-evolution", FINITE, 1, sources)


class TestAutoTransferTPE(Suite):
    @pytest.fixture
    def sampler(self, sources: Sources) -> Make:
        return lambda: make_sampler("autotransfer-tpe", FINITE, 1, sources)
