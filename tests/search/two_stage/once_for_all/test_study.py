"""A joint search as the first phase of a study: trials, resuming, the bank, MLflow, the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import numpy as np
import pytest
from typer.testing import CliRunner

from bequest import Study
from bequest.banks.bank import Bank
from bequest.banks.record import name_under
from bequest.cli.app import app
from bequest.common.errors import BankError, ConfigurationError, EvaluationError, StudyError
from bequest.evaluators.datasets import load_task
from bequest.evaluators.hardware.model import LayerCostModel
from bequest.evaluators.hardware.table import Cost, CostTable
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.evaluators.image.training import Budget
from bequest.evaluators.limits import parse_limit
from bequest.evaluators.once_for_all.budget import ElasticBudget
from bequest.evaluators.once_for_all.evaluator import ElasticEvaluator, ends
from bequest.evaluators.once_for_all.quantised_model import QuantisedKind
from bequest.evaluators.once_for_all.training import Shrinking
from bequest.search.study import Study as StudyClass
from bequest.search.two_stage import target_rows
from bequest.search.two_stage.once_for_all.bank_records import architectures, source_samples
from bequest.search.two_stage.once_for_all.collection import Collection, random_network
from bequest.search.two_stage.once_for_all.evolution import Evolving
from bequest.search.two_stage.once_for_all.predictor import Fitting
from bequest.search.two_stage.once_for_all.search import CompressionSearch
from bequest.search.two_stage.once_for_all.settings import OnceForAllSettings
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks

LIMITS = (parse_limit("latency=0.12ms"), parse_limit("latency=0.2ms"))
SHORT = OnceForAllSettings(
    limits=LIMITS,
    floats=20,
    quantised=12,
    fitting=Fitting(members=2, steps=30),
    evolving=Evolving(rounds=4, children=30),
)
MakeStudy = Callable[..., StudyClass]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def evaluator(home: Path, monkeypatch: pytest.MonkeyPatch) -> ElasticEvaluator:
    """Its once-for-all network and what was measured are kept from test to test."""
    monkeypatch.setenv("BEQUEST_HOME", str(home))
    shrinking = Shrinking(epochs=(2, 1, 1, 1), images=600, batch_size=32)
    budget = ElasticBudget(shrinking, Budget(1, 64, None, 32, learning_rate=0.01), judging=100)
    return ElasticEvaluator(load_task("digits"), budget=budget)


@pytest.fixture
def make(evaluator: ElasticEvaluator) -> MakeStudy:
    def make(**options: Any) -> StudyClass:
        settings = {"sampler": SHORT, "storage": "memory", "tracking": False, "bank": False}
        return Study(evaluator, **{**settings, **options})

    return make


def test_the_networks_of_the_front_are_the_trials(make: MakeStudy, tmp_path: Path) -> None:
    study = make(name="plain").run(trials=3, progress=False)
    found = study.record.findings("joint")
    assert study.sampler_name == "apq"
    assert [t.config for t in study.trials] == [r["config"] for r in found["candidates"][:3]]
    assert [t.state for t in study.trials] == ["complete"] * 3
    first, second = found["candidates"][:2]
    assert first["targets"][0] == {"latency": 0.12}
    assert first["costs"]["latency"] <= 0.12
    targets = [target for row in (first, second) for target in row["targets"]]
    assert targets == [{"latency": 0.12}, {"latency": 0.2}]  # one may be the best for both
    assert study.trials[0].metrics["latency"] == pytest.approx(first["costs"]["latency"])
    assert found["feasible"] >= 0.99
    assert found["floats"] == 20
    assert found["quantised"] == 12
    assert 0 <= found["predictor"]["quantised_pairwise"] <= 1
    # What a worker process gets proposes the same, without network or store.
    sampler = cloudpickle.loads(cloudpickle.dumps(study.optuna_study.sampler))
    assert sampler.candidates == [row["config"] for row in found["candidates"]]
    page = study.report(tmp_path / "r.html").read_text()
    for text in ("The once-for-all search", "latency=0.12ms", "Predicted front"):
        assert text in page


def test_nothing_is_measured_twice(make: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(name="first")
    whole.optuna_study.sampler.prepare()
    for name in ("cut_accuracy", "tuned_accuracy"):
        monkeypatch.setattr(ElasticEvaluator, name, lambda *_: pytest.fail("measured again"))
    again = make(name="second")
    again.optuna_study.sampler.prepare()
    assert (
        again.record.findings("joint")["candidates"] == whole.record.findings("joint")["candidates"]
    )


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    make: MakeStudy, evaluator: ElasticEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(name="whole")
    whole.optuna_study.sampler.prepare()
    kept = evaluator.checkpoint(0)
    (chosen,) = kept.parent.glob(f"{kept.stem}-tuned-*.*.jsonl")
    lines = chosen.read_text().splitlines(keepends=True)
    assert len(lines) == 2
    chosen.write_text(lines[0] + lines[1][:20])  # killed within a batch
    again = make(name="again")
    again.optuna_study.sampler.prepare()
    rows = [json.loads(line)["config"] for line in chosen.read_text().splitlines()]
    assert rows == [json.loads(line)["config"] for line in lines]
    assert (
        again.record.findings("joint")["candidates"] == whole.record.findings("joint")["candidates"]
    )


def test_other_limits_choose_other_networks_to_learn_from(
    make: MakeStudy, evaluator: ElasticEvaluator
) -> None:
    kept = evaluator.checkpoint(0)
    files: list[Path] = []
    for name, limit in (("small", "size=30kB"), ("fast", "latency=0.12ms")):
        before = {*kept.parent.glob("*.jsonl")}
        asked = replace(SHORT, limits=(parse_limit(limit),), quantised=14)
        make(name=name, sampler=asked).optuna_study.sampler.prepare()
        files += {*kept.parent.glob(f"{kept.stem}-tuned-*.*.jsonl")} - before
    chosen = [[json.loads(row)["config"] for row in f.read_text().splitlines()] for f in files]
    assert [len(configs) for configs in chosen] == [4, 4]
    assert chosen[0] != chosen[1]
    (drawn,) = {*kept.parent.glob(f"{kept.stem}-tuned-*.jsonl")} - {
        *kept.parent.glob(f"{kept.stem}-tuned-*.*.jsonl")
    }
    assert len(drawn.read_text().splitlines()) == 10  # serve all
    for config in chosen[0] + chosen[1]:
        evaluator.space.validate(config)


def test_what_was_measured_goes_to_the_bank_and_teaches_the_next_task(
    make: MakeStudy, evaluator: ElasticEvaluator, tmp_path: Path
) -> None:
    bank = Bank(f"sqlite:///{tmp_path / 'bank.db'}")
    study = make(name="giving", bank=bank).run(trials=1, progress=False)
    spaces = [space for space, _ in bank.records(name_under("digits", evaluator.conditions))]
    assert spaces.count(architectures(evaluator)) == 20
    assert spaces.count(evaluator.space) == 12 + 1
    assert source_samples(bank, evaluator, bank.revision) == []  # not its own source
    longer = replace(evaluator.budget, fine_tuning=replace(evaluator.budget.fine_tuning, epochs=2))
    again = ElasticEvaluator(evaluator.task, budget=longer)
    assert source_samples(bank, again, bank.revision) == []  # nor under other conditions
    other = ElasticEvaluator(evaluator.task, budget=evaluator.budget)
    other.task = type("Other", (), {"name": "other"})()  # type: ignore[assignment]
    (samples,) = source_samples(bank, other, bank.revision)
    assert len(samples) == 20
    assert source_samples(bank, other, 0) == []
    assert study.trials[0].state == "complete"
    # What another task said moves the predictor, and what it chooses is kept apart.
    searches = [
        CompressionSearch(evaluator, SHORT, seed=0, earlier=told) for told in ([], [samples])
    ]
    assert searches[0].drawn.path == searches[1].drawn.path
    assert searches[0].chosen.path != searches[1].chosen.path
    for search in searches:
        search.learn_floats()
    alone, taught = (s.predictor.predict(samples.networks)[0] for s in searches)
    assert not np.allclose(alone, taught)


def test_a_bank_that_does_not_answer_gets_the_networks_later(
    make: MakeStudy, evaluator: ElasticEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"storage": f"sqlite:///{tmp_path / 's.db'}", "name": "giving"}
    bank = Bank(f"sqlite:///{tmp_path / 'bank.db'}")
    with monkeypatch.context() as patch:
        patch.setattr(
            "bequest.search.two_stage.once_for_all.sampler.add_measurements",
            lambda *_: (_ for _ in ()).throw(BankError("the bank is locked")),
        )
        with pytest.warns(UserWarning, match="did not take the measured networks .*is locked"):
            make(**place, bank=bank).optuna_study.sampler.prepare()
    assert not bank.tasks
    again = make(**place, bank=bank).optuna_study.sampler
    again.prepare()
    spaces = [space for space, _ in bank.records(name_under("digits", evaluator.conditions))]
    assert spaces.count(architectures(evaluator)) == 20
    with pytest.raises(StudyError, match="was begun with another bank"):
        make(**place, bank=False)


def test_mlflow_has_front_and_predictor(make: MakeStudy, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    study = make(name="logged", tracking=uri, storage=f"sqlite:///{tmp_path / 's.db'}")
    study.run(trials=2, progress=False)
    client = mlflow.MlflowClient(uri)
    parent = study.tracker.link().rsplit("/", 1)[-1]
    run = client.get_run(parent)
    assert {"predictor/quantised_pairwise", "evolution/feasible"} <= set(run.data.metrics)
    assert run.data.tags["bequest.joint.limits"] == "latency=0.12ms, latency=0.2ms"
    names = {artifact.path for artifact in client.list_artifacts(parent, "joint")}
    assert {"joint/front.png", "joint/predictor.png", "joint/chosen.json"} <= names


def test_each_limit_has_its_winner(make: MakeStudy, tmp_path: Path) -> None:
    study = make(name="two").run(trials=3, progress=False)
    rows = target_rows(study.record)
    assert [row["within"] for row in rows] == ["latency 0.12", "latency 0.2"]
    for row, most in zip(rows, (0.12, 0.2), strict=True):
        assert row["latency"] <= most
        assert study.trials[row["trial"]].value == row["accuracy"]
    model = study.fit_best(folder=str(tmp_path / "small"), within={"latency": 0.12})
    assert isinstance(model.kind, QuantisedKind)
    assert model.facts.config == study.trials[rows[0]["trial"]].config
    with pytest.raises(StudyError, match=r"no complete trial within latency 0.001"):
        study.fit_best(within={"latency": 1e-3})


def test_limits_may_be_text_and_seeds_large(make: MakeStudy) -> None:
    asked = replace(SHORT, limits=("latency=120us",))  # type: ignore[arg-type]
    study = make(name="seeded", sampler=asked, seed=2**32 - 1).run(trials=1, progress=False)
    assert study.record.findings("joint")["limits"] == ["latency=0.12ms"]
    assert study.best.metrics["latency"] <= 0.12


def test_limits_are_compared_as_numbers(make: MakeStudy, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 's.db'}"
    make(name="one", storage=store).run(trials=1, progress=False)
    same = (parse_limit("latency=0.2"), parse_limit("latency=120us"))
    make(name="one", storage=store, sampler=replace(SHORT, limits=same))
    with pytest.raises(StudyError, match="begun with floats 20, not 21"):
        make(name="one", storage=store, sampler=replace(SHORT, floats=21))


def test_other_costs_are_other_conditions(evaluator: ElasticEvaluator, tmp_path: Path) -> None:
    table = LayerCostModel.load().table(evaluator.geometry, *ends(evaluator.geometry, 1, 10, 8))
    other = ElasticEvaluator(evaluator.task, budget=evaluator.budget, table=table)
    assert other.conditions == {"table": table.digest} | evaluator.conditions
    slower = CostTable({key: Cost(10 * cost.latency) for key, cost in table.entries.items()})
    assert slower.digest != table.digest


def test_other_limits_are_another_study(make: MakeStudy, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 's.db'}"
    make(name="one", storage=store).run(trials=1, progress=False)
    other = replace(SHORT, limits=LIMITS[:1])
    with pytest.raises(StudyError, match="begun with limits latency=0.12ms, latency=0.2ms, not"):
        make(name="one", storage=store, sampler=other)


def test_what_cannot_be_searched_is_refused(make: MakeStudy) -> None:
    with pytest.raises(StudyError, match="searches an elastic space, not 'nas-bench-201'"):
        Study(ImageEvaluator(load_task("digits")), sampler="apq", storage="memory")
    hopeless = replace(SHORT, limits=(parse_limit("latency=1us"),))
    with pytest.raises(StudyError, match="leaves no choice"):
        make(name="hopeless", sampler=hopeless)
    with pytest.warns(UserWarning, match=r"latency=5ms excludes nothing: no network has more than"):
        make(name="loose", sampler=replace(SHORT, limits=(parse_limit("latency=5ms"),)))
    with pytest.raises(ConfigurationError, match="floats 3: give 20 at least"):
        OnceForAllSettings(floats=3)
    with pytest.raises(StudyError, match="too few for"):
        make(name="many", sampler=replace(SHORT, candidates=1)).run(trials=2, progress=False)


def test_a_collection_survives_half_a_line(tmp_path: Path) -> None:
    measured: list[int] = []

    def measure(networks: Networks, row: int) -> float:
        measured.append(row)
        return 0.5

    path, draw = tmp_path / "x.jsonl", random_network(SMALL, 0)
    whole = Collection(path, SMALL, measure).grow(3, draw)
    text = path.read_text()
    path.write_text(text[:-30])
    again = Collection(path, SMALL, measure).grow(4, draw)
    assert len(measured) == 5
    assert again.networks[:3].keys() == whole.networks.keys()
    np.testing.assert_array_equal(again.accuracies, 0.5)
    assert len(path.read_text().splitlines()) == 4


def test_the_command_line_takes_limits_where_they_are_kept(home: Path) -> None:
    asked = ["search", "digits", "--storage", "memory", "--no-mlflow", "--no-fit", "--trials", "1"]
    runner = CliRunner()
    done = runner.invoke(app, [*asked, "--limit", "latency=2ms"])
    assert isinstance(done.exception, StudyError)
    assert "sampler 'transfer' keeps no limits" in str(done.exception)
    elastic = [*asked, "--space", "elastic", "--sampler", "apq"]
    done = runner.invoke(app, [*elastic, "--limit", "latency=1us"])
    assert "leaves no choice" in str(done.exception)
    done = runner.invoke(app, [*elastic, "--limit", "latency"])
    assert "is not NAME=VALUE" in str(done.exception)


def test_the_command_line_searches_by_a_machines_own_costs(tmp_path: Path) -> None:
    runner, path = CliRunner(), tmp_path / "tables" / "mine.json"
    done = runner.invoke(app, ["cost-table", "digits", "-o", str(path), "--watts", "10", "--json"])
    low, high = json.loads(done.stdout)["costs"]["latency"]
    assert 0 < low < high
    asked = ["search", "digits", "--storage", "memory", "--no-mlflow", "--cost-table", str(path)]
    elastic = [*asked, "--space", "elastic", "--sampler", "apq"]
    done = runner.invoke(app, [*elastic, "--limit", f"latency={low / 2}ms"])
    assert f"the cheapest network has latency {low:.4g}ms" in str(done.exception)
    done = runner.invoke(app, asked)
    assert "space 'nas-bench-201' has no table of costs" in str(done.exception)
    done = runner.invoke(app, ["cost-table", "wine-knn", "-o", str(path)])
    assert "does not fit" in str(done.exception)
    path.write_text("{}")
    done = runner.invoke(app, elastic)
    assert "a cost table has no 'head'" in str(done.exception)


@pytest.mark.parametrize(
    "settings",
    [
        lambda: OnceForAllSettings(caution=-1.0),
        lambda: OnceForAllSettings(evolving=Evolving(rounds=0)),
        lambda: OnceForAllSettings(fitting=Fitting(members=0)),
    ],
)
def test_settings_that_make_no_sense(settings: Callable[[], OnceForAllSettings]) -> None:
    with pytest.raises((ConfigurationError, EvaluationError), match="give"):
        settings()


def test_a_broken_line_is_not_passed_over(tmp_path: Path) -> None:
    measured: list[int] = []

    def measure(networks: Networks, row: int) -> float:
        measured.append(row)
        return 0.5

    kept = Collection(tmp_path / "x.jsonl", SMALL, measure)
    kept.grow(3, random_network(SMALL, 0))
    lines = kept.path.read_text().splitlines(keepends=True)
    kept.path.write_text("".join(lines[:2]) + lines[2][:10])  # killed while it wrote
    kept.grow(3, random_network(SMALL, 0))
    assert len(measured) == 4
    kept.path.write_text(lines[0] + lines[1][:10] + "\n" + lines[2])
    with pytest.raises(EvaluationError, match="line 2 of 3 .* is broken"):
        kept.grow(4, random_network(SMALL, 0))
    assert len(kept.path.read_text().splitlines()) == 3  # nothing is lost
