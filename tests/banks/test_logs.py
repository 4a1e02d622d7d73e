"""Records from Optuna's studies and MLflow's experiments."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from bequest.banks.bank import Bank
from bequest.banks.logs import import_mlflow, import_optuna
from bequest.banks.record import BankTask
from bequest.common.errors import BankError, BequestError, UnknownNameError
from bequest.spaces import Condition

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(f"sqlite:///{tmp_path / 'bank.db'}")


@pytest.fixture
def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"

    def objective(trial: optuna.Trial) -> float:
        kernel = trial.suggest_categorical("kernel", ["linear", "rbf"])
        width = trial.suggest_float("width", 0.1, 10, log=True) if kernel == "rbf" else 0.0
        if trial.number == 3:
            raise RuntimeError("boom")
        return trial.suggest_int("depth", 1, 5) + width

    study = optuna.create_study(
        storage=url, study_name="theirs", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=12, catch=(RuntimeError,))
    return url


def test_failed_trials_are_kept_where_they_are_whole(bank: Bank, store: str) -> None:
    import_optuna(bank, store)
    records = [record for _, record in bank.records("theirs")]
    assert all("depth" in record.config for record in records), "trial 3 was never asked for it"
    assert len(records) == 11


def test_an_optuna_study(bank: Bank, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'plain.db'}"

    def objective(trial: optuna.Trial) -> float:
        kernel = trial.suggest_categorical("kernel", ["linear", "rbf"])
        width = trial.suggest_float("width", 0.1, 10, log=True) if kernel == "rbf" else 0.0
        trial.set_user_attr("seconds", 1.5)
        return width

    study = optuna.create_study(storage=url, study_name="theirs")
    study.optimize(objective, n_trials=15)
    assert import_optuna(bank, url) == len({tuple(t.params.items()) for t in study.trials})
    assert import_optuna(bank, url, "theirs") == 0
    ((space, record), *_) = bank.records("theirs")
    assert {p.name for p in space.parameters} == {"kernel", "width"}
    condition = next(p.condition for p in space.parameters if p.name == "width")
    assert condition is not None
    assert condition.values == ("rbf",)
    assert record.metrics == {"seconds": 1.5}
    assert bank.tasks == [BankTask("theirs", "value", "minimize", kind="Optuna study")]
    assert (record.source, record.error) == ("Optuna study theirs", None)


def test_an_unknown_study(bank: Bank, store: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'theirs'"):
        import_optuna(bank, store, "their")


def test_an_mlflow_experiment(bank: Bank, mlflow_home: Path) -> None:
    uri = f"sqlite:///{mlflow_home / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("ours")
    for i in range(4):
        run = client.create_run(experiment).info.run_id
        client.log_param(run, "rate", str(0.1 * (i + 1)))
        client.log_param(run, "layer", ["gcn", "gat"][i % 2])
        client.log_metric(run, "accuracy", i / 4)
        client.log_metric(run, "loss", 1.0)
        client.set_terminated(run, "FINISHED" if i else "FAILED")
    assert import_mlflow(bank, uri, "ours", "accuracy") == 3
    records = [record for _, record in bank.records("ours")]
    assert sorted(r.value or 0.0 for r in records) == [0.25, 0.5, 0.75]
    assert {str(r.config["layer"]) for r in records} == {"gcn", "gat"}
    assert all(isinstance(r.config["rate"], float) for r in records)
    with pytest.raises(BankError, match="no finished run of 'ours' has parameters and metric 'f1'"):
        import_mlflow(bank, uri, "ours", "f1")
    with pytest.raises(UnknownNameError, match="did you mean 'ours'"):
        import_mlflow(bank, uri, "our", "accuracy")


def test_only_choices_tell_who_has_a_parameter(bank: Bank, tmp_path: Path) -> None:
    """A float that is another one in each trial tells everything apart, and means nothing."""
    url = f"sqlite:///{tmp_path / 'plain.db'}"

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("rate", 0, 1)
        kernel = trial.suggest_categorical("kernel", ["linear", "rbf"])
        return trial.suggest_float("gamma", 0.1, 10) if kernel == "rbf" else 0.0

    optuna.create_study(storage=url, study_name="theirs").optimize(objective, n_trials=15)
    import_optuna(bank, url)
    gamma = next(p for p in bank.spaces()[0].parameters if p.name == "gamma")
    assert gamma.condition == Condition("kernel", ("rbf",))


def test_what_is_not_finite_keeps_nothing_else_out(bank: Bank, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'plain.db'}"

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("loss", [math.nan, 0.5, 10**400][trial.number])
        trial.report([0.5, math.nan, math.inf][trial.number], 1)
        return [x, math.inf, x][trial.number]

    optuna.create_study(storage=url, study_name="theirs").optimize(objective, n_trials=3)
    assert import_optuna(bank, url) == 3
    first, second, third = (record for _, record in bank.records("theirs"))
    assert first.value == first.config["x"]
    assert (second.value, second.error) == (None, "its value was inf")
    assert [r.metrics for r in (first, second, third)] == [{}, {"loss": 0.5}, {}]
    assert [r.curve for r in (first, second, third)] == [{1: 0.5}, {}, {}]


def test_what_is_not_finite_in_mlflow(bank: Bank, mlflow_home: Path) -> None:
    uri = f"sqlite:///{mlflow_home / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("ours")
    for i, value in enumerate([0.5, math.nan, math.inf, -math.inf]):
        run = client.create_run(experiment).info.run_id
        client.log_param(run, "missing", ["nan", "0", "inf", "1"][i])
        client.log_metric(run, "accuracy", value)
        client.log_metric(run, "loss", math.nan)
        client.set_terminated(run)
    assert import_mlflow(bank, uri, "ours", "accuracy") == 4
    records = {str(record.config["missing"]): record for _, record in bank.records("ours")}
    assert {text: record.value for text, record in records.items()} == {
        "nan": 0.5,
        "0": None,
        "inf": None,
        "1": None,
    }
    assert all((record.error is None) == (record.value is not None) for record in records.values())
    assert all(record.metrics == {} for record in records.values())


@pytest.mark.parametrize("uri", ["./mlruns", "http://127.0.0.1:9", "sqlite:///x.db", "foo://x"])
def test_an_mlflow_that_cannot_be_read_is_one_sentence(
    bank: Bank, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    # Earlier versions of MLflow still read folders, and find no such experiment.
    reasons = r"cannot read MLflow at|there is no MLflow database|unknown MLflow experiment"
    with pytest.raises(BequestError, match=reasons) as it:
        import_mlflow(bank, uri, "ours", "accuracy")
    assert "\n" not in str(it.value)
    assert not (tmp_path / "x.db").exists()


@pytest.mark.parametrize("store", ["foo", "sqlite:///nowhere.db", "postgresql://no.where/x"])
def test_a_store_that_is_not_there_is_one_sentence(
    bank: Bank, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BankError, match="the study store|no study store"):
        import_optuna(bank, store)
    assert not (tmp_path / "nowhere.db").exists()


def test_a_trial_that_still_runs_is_no_record(bank: Bank, store: str) -> None:
    study = optuna.load_study(study_name="theirs", storage=store)
    running = study.ask()
    running.suggest_categorical("kernel", ["linear", "rbf"])
    if running.params["kernel"] == "rbf":
        running.suggest_float("width", 0.1, 10, log=True)
    running.suggest_int("depth", 1, 5)
    before = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
    assert import_optuna(bank, store) == before == 11


def test_mlflows_times_are_milliseconds(bank: Bank, mlflow_home: Path) -> None:
    uri = f"sqlite:///{mlflow_home / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    run = client.create_run(client.create_experiment("timed"), start_time=1_000).info.run_id
    client.log_param(run, "rate", "0.5")
    client.log_metric(run, "accuracy", 0.9)
    client.set_terminated(run, end_time=3_500)
    import_mlflow(bank, uri, "timed", "accuracy")
    ((_, record),) = bank.records("timed")
    assert (record.seconds, record.source) == (2.5, f"MLflow run {run}")
    assert bank.tasks == [BankTask("timed", "accuracy", kind="MLflow experiment")]
