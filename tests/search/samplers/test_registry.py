"""The registry of samplers: names, what they need, and people's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from bequest.common.errors import BequestError, UnknownNameError
from bequest.search.samplers import SAMPLERS, make_sampler, register_sampler, uses_bank
from bequest.search.samplers.base import Observation, SpaceSampler
from bequest.search.study import Study
from bequest.spaces import Config, Space
from bequest.testing.samplers import FINITE, distinct, run, sequence


class LastFirst(SpaceSampler):
    """Somebody's own: the space's configurations from the last to the first."""

    def propose(
        self, space: Space, history: Sequence[Observation], rng: np.random.Generator
    ) -> Config:
        return list(space.enumerate())[-1 - len(history)]


@pytest.fixture
def mine() -> Iterator[str]:
    register_sampler("mine", LastFirst)
    yield "mine"
    del SAMPLERS["mine"]


def test_a_sampler_from_outside_runs_a_study_by_its_name(mine: str) -> None:
    def objective(config: Config) -> float:
        return float(config["c"])

    options = {"name": "own", "storage": "memory", "tracking": False}
    study = Study.of(objective, FINITE, sampler=mine, **options)  # type: ignore[arg-type]
    study.run(trials=3, progress=False)
    assert [t.config for t in study.trials] == list(FINITE.enumerate())[:-4:-1]
    assert not uses_bank(mine)


def test_a_sampler_may_be_named_by_its_module(mine: str) -> None:
    with pytest.raises(BequestError, match="a sampler 'mine' already"):
        register_sampler(mine, "bequest.search.samplers.random:RandomSampler")
    del SAMPLERS[mine]
    register_sampler(mine, "bequest.search.samplers.random:RandomSampler")
    assert type(make_sampler(mine, FINITE, 0)).__name__ == "RandomSampler"


def test_who_uses_a_bank() -> None:
    named = {name for name in SAMPLERS if uses_bank(name)}
    over = {"autotransfer", "autotransfer-evolution", "autotransfer-tpe"}
    assert named == {"transfer", *over}
    assert not uses_bank("no such sampler")


def test_unknown_names_offer_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="'transfr': did you mean 'transfer'"):
        make_sampler("transfr", FINITE, 0)
    with pytest.raises(UnknownNameError, match="'apqq': did you mean 'apq'"):
        make_sampler("apqq", FINITE, 0, also=["apq"])


WITHOUT_SOURCES = {
    "transfer": "GPSampler",
    "autotransfer": "RandomSampler",
    "autotransfer-evolution": "EvolutionSampler",
    "autotransfer-tpe": "TPESampler",
}


def test_the_registry_loads_no_large_library() -> None:
    code = (
        "import sys; from bequest.search.samplers import SAMPLERS;"
        "print([m for m in ('torch', 'botorch', 'gpytorch', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_of_the_registry_can_be_made(name: str) -> None:
    sampler = make_sampler(name, FINITE, 0)
    expected = WITHOUT_SOURCES.get(name, SAMPLERS[name].load().__name__)
    assert type(sampler).__name__ == expected
    study = run(sampler, FINITE, 6)
    assert [FINITE.validate(trial.params) for trial in study.trials] == sequence(study)
    assert distinct(study) > 1
