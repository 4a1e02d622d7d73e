"""A study as its user sees it: results, failures, limits, names."""

from __future__ import annotations

import copy
import math
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution

from bequest import Study
from bequest.banks.bank import Bank
from bequest.common.errors import BequestError, StudyError, UnknownNameError
from bequest.common.home import home
from bequest.evaluators.function import FunctionEvaluator, FunctionTask
from bequest.evaluators.task import Outcome
from bequest.search.execution import worker
from bequest.spaces import Config, Parameter, Space

MakeStudy = Callable[..., Study]


def test_finds_and_reports_the_best(make_study: MakeStudy) -> None:
    study = make_study().run(trials=30, progress=False)
    values = [t.value for t in study.trials]
    assert [t.slot for t in study.trials] == list(range(30))
    assert study.best.value == max(v for v in values if v is not None)
    assert study.optuna_study.best_value == study.best.value


def test_minimize(make_study: MakeStudy) -> None:
    study = make_study(lambda c: abs(c["x"]), direction="minimize").run(trials=10, progress=False)
    assert study.best.value == min(abs(t.config["x"]) for t in study.trials)


def test_of_equal_values_the_earliest_is_best(make_study: MakeStudy) -> None:
    assert make_study(lambda c: 1.0).run(trials=5, progress=False).best.slot == 0


def test_budget_counts_earlier_trials(make_study: MakeStudy) -> None:
    study = make_study().run(trials=4, progress=False).run(trials=6, progress=False)
    assert len(study.run(trials=6, progress=False).trials) == 6


def test_timeout_begins_no_further_trial(make_study: MakeStudy) -> None:
    study = make_study(lambda c: time.sleep(0.05) or 1.0)
    started = time.time()
    study.run(timeout=0.3, progress=False)
    assert 1 <= len(study.trials) <= 7
    assert time.time() - started < 3


def test_a_limit_is_needed(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="give a limit"):
        make_study().run()


def test_metrics_seed_and_curve_are_kept(make_study: MakeStudy) -> None:
    def train(config: dict[str, Any], seed: int, report: Callable[[int, float], None]) -> Outcome:
        for epoch in range(3):
            report(epoch, epoch / 10)
        return Outcome(0.5, {"seed": seed, "test_accuracy": 0.4, "broken": math.nan})

    trial = make_study(train, seed=7).run(trials=1, progress=False).best
    assert trial.metrics == {"seed": 7.0, "test_accuracy": 0.4}
    assert trial.curve == {0: 0.0, 1: 0.1, 2: 0.2}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (math.nan, "returned nan, not a finite number"),
        (math.inf, "returned inf, not a finite number"),
        (-math.inf, "returned -inf"),
        (None, "returned None"),
        ("0.9", r"'0.9' \(str\), not a number"),
        (True, "returned True"),
        ([0.9], r"\(list\), not a number"),
        (1 + 2j, "complex"),
        (np.array([0.5, 0.5]), r"\(ndarray\), not a number"),
        (torch.tensor([0.5, 0.5]), r"\(Tensor\), not a number"),
        (torch.tensor(True), "not a number"),
        (torch.tensor(math.nan), "returned nan"),
        (Outcome(math.nan), "returned nan"),
        (Outcome("high"), "not a number"),  # type: ignore[arg-type]
    ],
)
def test_unfit_results_fail_the_trial_with_a_reason(
    make_study: MakeStudy, result: object, reason: str
) -> None:
    study = make_study(lambda c: result if c["x"] < 0 else 1.0, seed=3)
    study.run(trials=3, progress=False)
    failed = [t for t in study.trials if t.config["x"] < 0]
    assert failed
    for trial in failed:
        assert (trial.state, trial.value) == ("failed", None)
        assert re.search(reason, trial.error or "")
    assert study.best.value == 1.0


@pytest.mark.parametrize(
    "number",
    [
        np.float32(0.5),
        np.array(0.5),
        np.array([0.5]),
        torch.tensor(0.5),
        torch.tensor([[0.5]], requires_grad=True),
    ],
    ids=repr,
)
def test_numbers_of_numpy_and_pytorch_are_numbers(make_study: MakeStudy, number: object) -> None:
    assert make_study(lambda c: number).run(trials=1, progress=False).best.value == 0.5


@pytest.mark.parametrize("error", [ValueError("too far"), MemoryError("no room"), SystemError("x")])
def test_exceptions_fail_the_trial_and_the_search_goes_on(
    make_study: MakeStudy, error: Exception
) -> None:
    def sometimes(config: dict[str, Any]) -> float:
        if config["x"] < -2:
            raise error
        return 1.0

    study = make_study(sometimes).run(trials=12, progress=False)
    failed = [t for t in study.trials if t.state == "failed"]
    assert len(failed) == sum(t.config["x"] < -2 for t in study.trials) > 0
    assert failed[0].error == f"{type(error).__name__}: {error}"
    stored = study.optuna_study.all_trials()[failed[0].number].user_attrs["traceback"]
    assert "in sometimes" in stored


def test_a_run_in_which_most_trials_fail_stops_with_the_reason(make_study: MakeStudy) -> None:
    study = make_study(lambda c: 1 / 0)
    with pytest.raises(StudyError, match="4 of 4 trials failed.*ZeroDivisionError"):
        study.run(trials=100, progress=False)
    assert len(study.trials) == 4


def test_whoever_mends_the_cause_may_go_on(make_study: MakeStudy) -> None:
    works = False

    def train(config: dict[str, Any]) -> float:
        return 1.0 if works else 1 / 0

    study = make_study(train)
    with pytest.raises(StudyError):
        study.run(trials=10, progress=False)
    works = True
    study.run(trials=10, progress=False)
    assert [t.state for t in study.trials] == ["failed"] * 4 + ["complete"] * 6


def test_ctrl_c_gives_the_slot_back(make_study: MakeStudy) -> None:
    calls = []

    def interrupted_once(config: dict[str, Any]) -> float:
        calls.append(config)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return float(config["x"])

    study = make_study(interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        study.run(trials=5, progress=False)
    assert [t.state for t in study.trials] == ["complete", "complete", "lost"]
    study.run(trials=5, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 5
    assert calls[2] == calls[3]
    plain = make_study(lambda c: float(c["x"])).run(trials=5, progress=False)
    assert [t.config for t in plain.trials] == [t.config for t in study.trials]


@pytest.mark.parametrize("place", ["after_trial", "write_trial", "claim"])
def test_what_an_exception_leaves_between_two_steps_is_given_back(
    make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A notebook's process lives on: its trial would seem to be running for ever."""
    calls = 0

    def interrupted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            done = original(*args, **options) if place == "claim" else None
            if calls == 4:
                raise KeyboardInterrupt
            return done if place == "claim" else original(*args, **options)

        return call

    study = make_study(storage=f"sqlite:///{tmp_path / 's.db'}")
    if place == "after_trial":
        owner: Any = type(study.optuna_study.sampler)
    else:
        owner = worker
    monkeypatch.setattr(owner, place, interrupted(getattr(owner, place)))
    with pytest.raises(KeyboardInterrupt):
        study.run(trials=4, progress=False)
    study.run(trials=4, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 4
    plain = make_study().run(trials=4, progress=False)
    assert [t.config for t in plain.trials] == [t.config for t in study.trials]


def test_two_runs_of_one_process_leave_each_others_trials_alone(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    begun, go = threading.Event(), threading.Event()

    def slow(config: Config) -> float:
        begun.set()
        assert go.wait(30)
        return 5.0

    first = make_study(slow, storage=url)
    thread = threading.Thread(target=lambda: first.run(trials=1, progress=False))
    thread.start()
    assert begun.wait(30)
    study = make_study(lambda c: 1.0, storage=url).run(trials=3, progress=False)
    assert [t.state for t in study.trials] == ["running", "complete", "complete"]
    go.set()
    thread.join()
    assert study.best.value == 5.0


def test_pruned_trials_keep_their_last_value(make_study: MakeStudy) -> None:
    def train(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
        for epoch in range(50):
            report(epoch, -abs(config["x"]))
        return -abs(float(config["x"]))

    study = make_study(train, pruner="median").run(trials=30, progress=False)
    pruned = [t for t in study.trials if t.state == "pruned"]
    assert pruned
    assert all(t.value == -abs(t.config["x"]) and len(t.curve) < 50 for t in pruned)
    assert study.best.value == max(-abs(t.config["x"]) for t in study.trials)


def test_reporting_nan_fails_the_trial(make_study: MakeStudy) -> None:
    def train(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
        report(3, math.nan if config["x"] < 0 else 1.0)
        return 1.0

    study = make_study(train, seed=3).run(trials=3, progress=False)
    reasons = {t.error for t in study.trials if t.config["x"] < 0}
    assert reasons == {"EvaluationError: the training reported nan at step 3"}


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"seed": 1}, "seed"), ({"sampler": "tpe"}, "sampler"), ({"pruner": "median"}, "pruner")],
)
def test_a_name_belongs_to_one_search(
    make_study: MakeStudy, changed: dict[str, Any], word: str
) -> None:
    storage = optuna.storages.InMemoryStorage()
    make_study(storage=storage)
    with pytest.raises(StudyError, match=f"begun with {word}.*another name"):
        make_study(storage=storage, **changed)


def test_a_name_belongs_to_one_space(make_study: MakeStudy, toy_space: Space) -> None:
    storage = optuna.storages.InMemoryStorage()
    make_study(storage=storage)
    smaller = Space("toy", toy_space.parameters[:2])
    with pytest.raises(StudyError, match="space hash"):
        Study.of(lambda c: 1.0, smaller, name="toy", sampler="random", storage=storage)


def test_unknown_names_are_answered_with_the_closest(make_study: MakeStudy) -> None:
    with pytest.raises(UnknownNameError, match="unknown sampler 'tpee': did you mean 'tpe'?"):
        make_study(sampler="tpee")
    with pytest.raises(UnknownNameError, match="unknown pruner 'med'"):
        make_study(pruner="med")


def test_bad_storage_url_is_one_sentence(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="a study store in memory is storage='memory'"):
        make_study(storage="sqlite://")
    with pytest.raises(StudyError, match="cannot open the study store 'sqlite:////nowhere/x.db'"):
        make_study(storage="sqlite:////nowhere/x.db")
    with pytest.raises(StudyError, match="give a SQLAlchemy URL"):
        make_study(storage="nonsense")


def test_a_store_of_another_optuna_is_one_sentence(make_study: MakeStudy, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    make_study(storage=url)
    with sqlite3.connect(tmp_path / "s.db") as store:
        store.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    with pytest.raises(StudyError, match="cannot open the study store.*no longer compatible"):
        make_study(storage=url)


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 200, "../escaped"])
def test_a_study_of_any_name_has_a_folder(make_study: MakeStudy, name: str) -> None:
    folder = make_study(name=name).record.folder
    folder.mkdir(parents=True)
    assert folder.parent == home() / "artifacts"
    other = make_study(name=f"{name}x").record.folder
    assert folder.name.rsplit("-", 1)[0] != other.name.rsplit("-", 1)[0]


def test_nothing_is_best_before_the_first_trial(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="no complete trial yet"):
        _ = make_study().best


def test_a_function_has_no_model_to_fit(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="no model to train"):
        make_study().run(trials=1, progress=False).fit_best()


def test_studies_of_one_name_have_files_of_their_own(make_study: MakeStudy, tmp_path: Path) -> None:
    stores = [f"sqlite:///{tmp_path / name}" for name in ("one.db", "two.db")]
    folders = [make_study(name="same", storage=url).record.folder for url in [*stores, *stores]]
    assert folders[:2] == folders[2:]
    assert len({*folders}) == 2
    likes = [make_study(name=name, storage=stores[0]).record.folder for name in ("a/b", "a_b")]
    assert len({*likes}) == 2


def test_any_optuna_sampler_may_be_given(make_study: MakeStudy) -> None:
    study = make_study(sampler=optuna.samplers.QMCSampler(seed=1)).run(trials=5, progress=False)
    assert len({t.config["x"] for t in study.trials}) == 5


FINITE = Space(
    "finite",
    [
        Parameter("a", CategoricalDistribution(["p", "q"])),
        Parameter("only", CategoricalDistribution(["one"])),
        Parameter("b", CategoricalDistribution(["r", "s", "t"])),
    ],
)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.BruteForceSampler(seed=0),
        optuna.samplers.GridSampler({"a": ["p", "q"], "b": ["r", "s", "t"]}, seed=0),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_samplers_of_finite_lists_try_all_and_end_the_run(
    tmp_path: Path, sampler: optuna.samplers.BaseSampler, store: str
) -> None:
    """Also where one trial was interrupted and is tried again."""
    calls = 0

    def train(config: Config) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return float(config["b"] == "s")

    study = Study.of(
        train,
        FINITE,
        name="finite",
        sampler=copy.deepcopy(sampler),
        storage="memory" if store == "memory" else f"sqlite:///{tmp_path / 's.db'}",
        tracking=False,
        bank=False,
    )
    with pytest.raises(KeyboardInterrupt):
        study.run(trials=50, progress=False)
    study.run(trials=50, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 6
    assert {(t.config["a"], t.config["b"]) for t in study.trials} == {
        (a, b) for a in "pq" for b in "rst"
    }


def test_samplers_see_what_a_trial_was_and_brought(make_study: MakeStudy) -> None:
    def constraints(trial: optuna.trial.FrozenTrial) -> tuple[float]:
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert trial.values == [trial.params["x"]]
        assert trial.intermediate_values == {0: trial.params["x"]}
        return (trial.user_attrs["metrics"]["cost"] - 1,)

    def train(config: Config, report: Callable[[int, float], None]) -> Outcome:
        report(0, float(config["x"]))
        return Outcome(config["x"], {"cost": abs(config["x"])})

    for sampler in (
        optuna.samplers.TPESampler(seed=0, constraints_func=constraints),
        optuna.samplers.NSGAIISampler(seed=0, population_size=4, constraints_func=constraints),
    ):
        study = make_study(train, sampler=sampler).run(trials=12, progress=False)
        assert [t.state for t in study.trials] == ["complete"] * 12
        kept = [[*t.system_attrs["constraints"]] for t in study.optuna_study.trials]
        assert kept == [[abs(t.config["x"]) - 1] for t in study.trials]


def test_cma_es_may_be_given(make_study: MakeStudy) -> None:
    pytest.importorskip("cmaes")
    study = make_study(sampler=optuna.samplers.CmaEsSampler(seed=1)).run(trials=8, progress=False)
    assert [t.state for t in study.trials] == ["complete"] * 8


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"seed": -1}, "seed is -1: give 0 or more"),
        ({"direction": "max"}, "direction is 'max': say 'maximize' or 'minimize'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    make_study: MakeStudy, asked: dict[str, Any], reason: str
) -> None:
    with pytest.raises(StudyError, match=reason):
        make_study(**asked)


def test_a_run_of_nothing_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="trials is 0"):
        make_study().run(trials=0)
    with pytest.raises(StudyError, match="workers is 0"):
        make_study().run(trials=3, workers=0)


@pytest.mark.parametrize(
    "refused",
    [{"pruner": "typo"}, {"sampler": "typo"}, {"bank": "typo"}, {"minimize": ["x", "x"]}],
)
def test_what_is_refused_leaves_no_study_behind(
    make_study: MakeStudy, tmp_path: Path, refused: dict[str, Any]
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    with pytest.raises(BequestError):
        make_study(storage=url, direction="minimize", **{"sampler": "transfer", **refused})
    assert optuna.get_all_study_names(url) == []
    study = make_study(storage=url, direction="maximize")
    assert study.optuna_study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_what_is_refused_leaves_an_older_study_as_it_is(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    make_study(storage=url)
    with pytest.raises(StudyError, match="begun with seed"):
        make_study(storage=url, seed=1)
    assert optuna.get_all_study_names(url) == ["toy"]


def test_those_who_begin_a_study_at_once_agree_on_its_key(
    make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    others: list[Study] = []
    make_key = uuid.uuid4

    def meanwhile() -> uuid.UUID:
        if not others:
            monkeypatch.setattr(uuid, "uuid4", make_key)
            others.append(make_study(storage=url))
        return make_key()

    monkeypatch.setattr(uuid, "uuid4", meanwhile)
    mine = make_study(storage=url)
    assert mine.record.key == others[0].record.key == make_study(storage=url).record.key


def test_an_empty_study_that_searches_the_other_way_is_refused(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    optuna.create_study(study_name="toy", storage=url, direction="minimize")
    with pytest.raises(StudyError, match="that is to minimize, not to maximize: give the new"):
        make_study(storage=url)


def test_without_a_complete_trial_the_last_reason_is_said(make_study: MakeStudy) -> None:
    def train(config: Config) -> float:
        raise ValueError("no such column")

    study = make_study(train).run(trials=2, progress=False)
    with pytest.raises(StudyError, match=r"its last trial: ValueError: no such column"):
        _ = study.best


def test_somebody_elses_study_is_not_taken_over(make_study: MakeStudy, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    theirs = optuna.create_study(study_name="toy", storage=url, direction="maximize")
    theirs.optimize(lambda trial: trial.suggest_float("z", 0, 1), n_trials=2)
    with pytest.raises(StudyError, match="that Bequest did not make: give the new study another"):
        make_study(storage=url)


def test_another_bank_or_pruner_has_another_usual_name(toy_space: Space, tmp_path: Path) -> None:
    evaluator = FunctionEvaluator(lambda c: 1.0, toy_space, FunctionTask("t", "v", "maximize"))
    options: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 's.db'}", "tracking": False}
    bank = f"sqlite:///{tmp_path / 'bank.db'}"

    def name(sampler: str, **more: Any) -> str:
        return Study(evaluator, sampler=sampler, **options, **more).name

    assert name("transfer") == "t-toy-transfer-s0"
    assert name("transfer", bank="none") == "t-toy-transfer-no-bank-s0"
    assert name("transfer", bank=False) == "t-toy-transfer-no-bank-s0"
    assert name("transfer", pruner="forecast") == "t-toy-transfer-forecast-s0"
    other = name("transfer", bank=bank)
    assert re.fullmatch(r"t-toy-transfer-bank-[0-9a-f]{8}-s0", other)
    assert name("transfer", bank=bank) == name("transfer", bank=Bank(bank)) == other
    # Nothing is inherited: the bank says nothing of the search.
    assert name("random", bank="none") == name("random", bank=bank) == "t-toy-random-s0"


def test_other_limits_are_another_study(toy_space: Space, tmp_path: Path) -> None:
    class Limited(FunctionEvaluator):
        def __init__(self, most: float) -> None:
            super().__init__(lambda config: 1.0, toy_space, FunctionTask("t", "v", "maximize"))
            self.limits = {"memory": most}

    url = f"sqlite:///{tmp_path / 's.db'}"
    options: dict[str, Any] = {"storage": url, "sampler": "random", "tracking": False}
    names = {Study(Limited(most), **options).name for most in (5.0, 6.0, 5.0)}
    assert names == {"t-toy-random-memory-5-s0", "t-toy-random-memory-6-s0"}
    Study(Limited(5.0), name="one", **options)
    with pytest.raises(StudyError, match=r"was begun with limits \{'memory': 5.0\}"):
        Study(Limited(6.0), name="one", **options)
