"""AutoTransfer: the three algorithms under the design prior."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.common.errors import UnknownNameError
from bequest.search.samplers.autotransfer import AutoTransferSampler
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.spaces import Space
from bequest.testing.samplers import FINITE, SamplerConformance, run, score, sequence
from tests.search.proposals import SPACES, check, proposals, scores_of


def prior_of(space: Space) -> DesignPrior:
    rng = np.random.default_rng(0)
    configs = tuple(
        FINITE.enumerate() if space is FINITE else (space.sample(rng) for _ in range(40))
    )
    values = np.array([[score(c) for c in configs]])
    return DesignPrior(
        Scores(space, (BankTask("near", "accuracy"),), configs, values, ("",) * len(configs)), {}
    )


class TestOverRandom(SamplerConformance):
    name = "autotransfer"
    uses_bank = True

    def make(self, space: Space, seed: int = 3) -> AutoTransferSampler:
        base = {"autotransfer": "random"}.get(self.name, self.name.removeprefix("autotransfer-"))
        return AutoTransferSampler(space, prior_of(space), seed=seed, base=base)


class TestOverTPE(TestOverRandom):
    name = "autotransfer-tpe"


class TestOverEvolution(TestOverRandom):
    name = "autotransfer-evolution"
    trials = 24


def test_configurations_are_not_drawn_twice_while_others_are_found() -> None:
    study = run(AutoTransferSampler(FINITE, prior_of(FINITE), seed=1), FINITE, 15)
    assert len({str(params) for params in sequence(study)}) == 15


def test_an_unknown_base() -> None:
    with pytest.raises(UnknownNameError, match="known are evolution, random, tpe"):
        AutoTransferSampler(FINITE, prior_of(FINITE), base="gp2")


@pytest.mark.parametrize("base", ["random", "tpe", "evolution"])
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_proposals_are_those_of_version_0_1(space: Space, base: str) -> None:
    prior = DesignPrior(scores_of(space), {"t0": 0.9, "t1": 0.5})
    sampler = AutoTransferSampler(space, prior, seed=1, base=base)
    check(f"autotransfer-{base} {space.name}", proposals(sampler, space, 26))
