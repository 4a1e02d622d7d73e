"""Studies and banks: what a study inherits, leaves behind, and says of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bequest import Parameter, Space, Study
from bequest.banks.bank import Bank
from bequest.common.errors import BankError, EvaluationError, StudyError
from bequest.evaluators.function import FunctionEvaluator, FunctionTask
from bequest.search.samplers.gp import GPSampler
from bequest.search.samplers.transfer_gp import TransferGPSampler
from bequest.search.transfer.replay import leave_one_task_out, summarise
from bequest.search.transfer.sources import open_bank
from bequest.spaces import Config

SPACE = Space(
    "shapes",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat", "gin"])),
        Parameter("rate", FloatDistribution(0, 1)),
    ],
    default={"layer": "gcn", "rate": 0.9},
)


def objective(config: Config, shift: float = 0.0) -> float:
    worth = {"gcn": 0.0, "gat": 0.5, "gin": 0.2}[str(config["layer"])]
    return worth - (float(config["rate"]) - 0.3 - shift) ** 2


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


def study_of(
    name: str, bank: str | bool | None, storage: str = "memory", **options: object
) -> Study:
    return Study.of(
        options.pop("function", objective),  # type: ignore[arg-type]
        SPACE,
        name=name,
        bank=bank,
        storage=storage,
        tracking=False,
        **options,
    )


def fill(url: str, tasks: int = 4) -> None:
    for i in range(tasks):
        shift = 0.02 * i
        study_of(
            f"task{i}",
            url,
            sampler="random",
            seed=i,
            function=lambda config, shift=shift: objective(config, shift),
        ).run(trials=25, progress=False)


def test_a_study_adds_to_the_bank_and_later_ones_inherit(url: str) -> None:
    fill(url)
    assert Bank(url).counts() == {f"task{i}": 25 for i in range(4)}
    study = study_of("new", url).run(trials=3, progress=False)
    assert isinstance(study.optuna_study.sampler, TransferGPSampler)
    assert study.trials[0].config["layer"] == "gat", "earlier tasks say so; the default is gcn"
    assert study.best.value is not None
    assert study.best.value > 0.49
    rows = study.record.source_weights
    assert {row["task"] for row in rows} == {f"task{i}" for i in range(4)}
    assert all(row["opinion"] > 0.5 for row in rows), "all think well of the best design"


def test_a_task_does_not_inherit_from_itself(url: str) -> None:
    fill(url, 1)
    again = study_of("task0", url, seed=7)
    assert isinstance(again.optuna_study.sampler, GPSampler)
    assert not isinstance(again.optuna_study.sampler, TransferGPSampler)


class Shorter(FunctionEvaluator):
    """The same task, trained otherwise."""

    conditions: ClassVar = {"epochs": 5}


def shorter_study(url: str, **options: Any) -> Study:
    task = FunctionTask("task0", "value", "maximize")
    return Study(Shorter(objective, SPACE, task), bank=url, tracking=False, seed=0, **options)


def test_other_conditions_make_another_task(url: str) -> None:
    fill(url, 1)
    study = shorter_study(url, storage="memory")
    assert study.name.startswith("task0-shapes-transfer-epochs-5-bank-")
    assert isinstance(study.optuna_study.sampler, TransferGPSampler), "task0 as usual is earlier"
    study.run(trials=3, progress=False)
    bank = Bank(url)
    assert bank.counts() == {"task0": 25, "task0 (epochs 5)": 3}
    facts = {task.name: task.facts for task in bank.tasks}["task0 (epochs 5)"]
    assert facts["task"] == "task0"
    assert facts["conditions"] == {"epochs": 5}


def test_a_study_is_resumed_under_its_conditions(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    shorter_study(url, storage=storage, name="one").run(trials=1, progress=False)
    shorter_study(url, storage=storage, name="one")
    monkeypatch.setattr(Shorter, "conditions", {})
    with pytest.raises(StudyError, match="begun with conditions {'epochs': 5}, not {}"):
        shorter_study(url, storage=storage, name="one")


def test_a_resumed_study_inherits_what_it_began_with(url: str, tmp_path: Path) -> None:
    fill(url)
    whole = study_of("new", url, f"sqlite:///{tmp_path / 'a.db'}").run(trials=7, progress=False)
    bank = Bank(url)
    parts = f"sqlite:///{tmp_path / 'b.db'}"
    # The bank holds the whole study's trials by now; "new" itself is left out anyway.
    study_of("new", url, parts).run(trials=3, progress=False)
    opposite = study_of("late", url, sampler="random", function=lambda c: -objective(c))
    opposite.run(trials=25, progress=False)
    assert "late" in bank.counts()
    resumed = study_of("new", url, parts).run(trials=7, progress=False)
    assert [t.config for t in resumed.trials] == [t.config for t in whole.trials]


def test_failures_are_remembered(url: str) -> None:
    def fails(config: Config) -> float:
        if config["layer"] == "gin":
            raise EvaluationError("no gin today")
        return 1.0

    study_of("fails", url, sampler="random", function=fails).run(trials=12, progress=False)
    records = [record for _, record in Bank(url).records("fails")]
    errors = [r.error for r in records if r.value is None]
    assert errors
    assert all(e is not None and "no gin today" in e for e in errors)


@pytest.mark.parametrize("bank", ["none", False])
def test_no_bank_is_wanted(bank: str | bool, bequest_home: Path) -> None:
    study = study_of("alone", bank, f"sqlite:///{bequest_home / 's.db'}")
    study.run(trials=2, progress=False)
    assert study.bank is None
    assert not (bequest_home / "bank.db").exists()


def test_the_home_bank_is_the_default_for_stored_studies(bequest_home: Path) -> None:
    study_of("kept", None, f"sqlite:///{bequest_home / 's.db'}").run(trials=2, progress=False)
    study_of("memory", None).run(trials=2, progress=False)
    bank = open_bank(None)
    assert bank is not None
    assert bank.counts()["kept"] == 2
    assert "memory" not in bank.counts()


def test_the_replay_finds_the_saving(url: str) -> None:
    fill(url)
    runs = list(leave_one_task_out(Bank(url).scores(SPACE)[0], budget=15, seeds=3))
    mean = summarise(runs)["mean"]
    assert mean["transfer"] <= mean["random"]
    assert {run.task for run in runs} == {f"task{i}" for i in range(4)}


class Described(FunctionEvaluator):
    """Tasks of two families: the first number of the fingerprint tells which."""

    def __init__(self, number: int) -> None:
        self.family = number % 2
        super().__init__(self._value, SPACE, FunctionTask(f"task{number}"))
        noise = np.random.default_rng(number).normal(size=3)
        self.vector = [10.0 * self.family, *noise.tolist()]

    def _value(self, config: Config) -> float:
        sign = 1 if self.family else -1
        return sign * objective(config)

    def fingerprints(self) -> dict[str, Sequence[float]]:
        return {"constant": [1.0], "test": self.vector}


def test_autotransfer_asks_the_tasks_with_similar_fingerprints(url: str) -> None:
    options = {"bank": url, "storage": "memory", "tracking": False}
    for number in range(8):
        study = Study(Described(number), sampler="random", seed=3, **options)  # type: ignore[arg-type]
        study.run(trials=20, progress=False)
    assert Bank(url).fingerprints("test").keys() == {f"task{i}" for i in range(8)}
    study = Study(Described(9), sampler="autotransfer", **options)  # type: ignore[arg-type]
    study.run(trials=3, progress=False)
    asked = [row["task"] for row in study.explain()]
    assert asked
    assert set(asked) <= {"task1", "task3", "task5", "task7"}
    assert Bank(url).fingerprints("test")["task9"][0] == 10.0


def test_a_replay_needs_tasks(url: str) -> None:
    fill(url, 2)
    with pytest.raises(BankError, match="2 tasks with 20 designs"):
        leave_one_task_out(Bank(url).scores(SPACE)[0])
    for nothing in ({"budget": 0}, {"seeds": 0}):
        with pytest.raises(BankError, match="at least 1 of each"):
            leave_one_task_out(Bank(url).scores(SPACE)[0], **nothing)


def test_an_explanation_that_fails_keeps_no_trial_from_the_bank(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> dict[str, float]:
        raise np.linalg.LinAlgError("not positive definite")

    fill(url, 1)
    monkeypatch.setattr(TransferGPSampler, "explain", fails)
    with pytest.warns(UserWarning, match=r"not stored \(not positive definite\)"):
        study_of("new", url).run(trials=2, progress=False)
    assert Bank(url).counts()["new"] == 2


def test_failures_that_nobody_explains_stay_out(url: str) -> None:
    broken = [True]

    def train(config: Config) -> float:
        if broken[0]:
            raise RuntimeError("no CUDA")
        return objective(config)

    store = f"sqlite:///{Path(url.removeprefix('sqlite:///')).with_name('s.db')}"
    study = study_of("new", url, store, function=train, sampler="random")
    with pytest.raises(StudyError, match="no CUDA"):
        study.run(trials=12, progress=False)
    assert Bank(url).counts() == {}
    broken[0] = False
    study.run(trials=12, progress=False)
    records = [record for _, record in Bank(url).records("new")]
    assert len(records) == 8
    assert all(record.value is not None for record in records)


@pytest.mark.parametrize(("trials", "kept"), [(1, 0), (3, 1), (4, 4)])
def test_failures_of_a_short_run_stay_out_while_they_are_most(
    url: str, trials: int, kept: int
) -> None:
    calls = 0

    def train(config: Config) -> float:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise RuntimeError("no data")
        return objective(config)

    study = study_of("new", url, function=train, sampler="random")
    study.run(trials=trials, progress=False)
    assert Bank(url).counts().get("new", 0) == kept


def test_a_value_takes_the_place_of_a_failure(url: str) -> None:
    def train(config: Config) -> float:
        if float(config["rate"]) < 0.3 and broken:
            raise RuntimeError("the disk was full")
        return objective(config)

    broken = True
    for _ in range(2):
        study_of("new", url, function=train, sampler="random").run(trials=12, progress=False)
        found = [record.value for _, record in Bank(url).records("new")]
        assert len(found) == 12
        assert (None in found) == broken
        broken = False


def test_each_seed_is_kept(url: str) -> None:
    for seed in (0, 1):
        study_of("new", url, sampler="evolution", seed=seed).run(trials=3, progress=False)
    records = [record for _, record in Bank(url).records("new")]
    assert sorted(record.seed for record in records) == [0, 0, 0, 1, 1, 1]


def test_a_study_goes_on_with_the_bank_it_began_with(url: str, tmp_path: Path) -> None:
    fill(url)
    store, other = f"sqlite:///{tmp_path / 's.db'}", f"sqlite:///{tmp_path / 'other.db'}"
    study_of("with", url, store, sampler="transfer").run(trials=2, progress=False)
    study_of("without", "none", store, sampler="transfer").run(trials=2, progress=False)
    with pytest.raises(StudyError, match=r"was begun with another bank: give that one"):
        study_of("with", other, store, sampler="transfer")
    with pytest.raises(StudyError, match="was begun with another bank"):
        study_of("with", "none", store, sampler="transfer")
    with pytest.raises(StudyError, match=r"was begun without a bank: give --bank none"):
        study_of("without", url, store, sampler="transfer")
    # Elsewhere it is still the same bank.
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("VACUUM INTO ?", [str(tmp_path / "moved.db")])
    study_of("with", f"sqlite:///{tmp_path / 'moved.db'}", store, sampler="transfer").run(
        trials=3, progress=False
    )


def test_a_bank_that_says_nothing_of_the_space_says_why(url: str) -> None:
    fill(url)
    other = Space("ponds", [Parameter("depth", FloatDistribution(0, 1))], default={"depth": 0.5})
    options: dict[str, Any] = {"storage": "memory", "tracking": False, "sampler": "transfer"}
    with pytest.warns(UserWarning, match=r"nothing is inherited .*'shapes' has 0 of the 1 param"):
        Study.of(lambda config: config["depth"], other, name="pond", bank=url, **options)


def test_a_bank_that_cannot_be_opened_is_refused_before_the_search(tmp_path: Path) -> None:
    trained: list[Config] = []

    def train(config: Config) -> float:
        trained.append(config)
        return 0.0

    with pytest.raises(BankError, match="cannot open the bank"):
        study_of("new", f"sqlite:///{tmp_path}/no/b.db", function=train, sampler="random").run(
            trials=3, progress=False
        )
    assert not trained


def test_a_bank_that_takes_no_trials_is_a_warning(url: str) -> None:
    study_of("new", url, sampler="random", metric="accuracy").run(trials=1, progress=False)
    with pytest.warns(UserWarning, match=r"the bank did not take the trials .*bank append new"):
        study_of("new", url, sampler="random", metric="f1").run(trials=1, progress=False)
