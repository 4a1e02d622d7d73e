"""The command, run as users run it: in a process of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bequest import Parameter, Space, Study
from bequest.banks.bundled import TEXTS
from bequest.evaluators import Outcome
from bequest.spaces import Config

SEARCH = ("search", "wine-knn", "--trials", "4", "--sampler", "random")


@pytest.fixture
def bequest(mlflow_home: Path, tmp_path: Path) -> Any:
    """Run the command; returns the finished process."""

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "bequest", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == code, done.stderr
        return done

    return run


def test_a_search_from_end_to_end(bequest: Any, mlflow_home: Path, tmp_path: Path) -> None:
    found = json.loads(bequest(*SEARCH, "--json").stdout)
    assert found["study"] == "wine-knn-gnn-random-s0"
    assert found["trials"] == {"complete": 4}
    assert found["best_value"] > 0.5
    assert 0.5 < found["test"]["test_accuracy"] <= 1
    assert sorted(p.name for p in Path(found["model"]).iterdir()) == [
        "model.json",
        "model.safetensors",
    ]

    # MLflow has the parent with the model, registered as best, and four children.
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{mlflow_home / 'mlflow.db'}")
    version = client.get_model_version_by_alias("wine-knn-gnn-random-s0", "best")
    parent = client.get_run(version.run_id)
    assert parent.data.metrics["test_accuracy"] == found["test"]["test_accuracy"]
    assert found["mlflow"].endswith(f"/runs/{version.run_id}")
    _served_model_predicts(version.source)

    # The same command goes on; a larger budget adds trials.
    again = bequest(*SEARCH[:3], "6", *SEARCH[4:])
    assert "continuing, 4 trials are there already" in again.stdout
    assert "6 complete trials" in again.stdout
    assert "the majority class alone has 0.3989" in again.stdout

    listed = json.loads(bequest("studies", "--json").stdout)
    assert [s["study"] for s in listed] == ["wine-knn-gnn-random-s0"]
    shown = json.loads(bequest("show", found["study"], "--json").stdout)
    assert len(shown["rows"]) == 6
    assert {row["values"]["accuracy"] for row in shown["rows"]} >= {shown["best_value"]}
    assert shown["rows"][shown["best_trial"]]["config"] == shown["best_config"]
    assert "layer" in bequest("show", found["study"]).stdout
    assert "wrote r.html" in bequest("report", found["study"], "-o", "r.html").stdout
    assert (tmp_path / "r.html").stat().st_size > 1e6
    assert json.loads(bequest("sync", found["study"], "--json").stdout)["written"] == 0


def test_parameters_are_not_taken_for_results(bequest: Any) -> None:
    space = Space(
        "taken",
        [
            Parameter("value", FloatDistribution(3, 4)),
            Parameter("state", CategoricalDistribution(["solid"])),
            Parameter("cost", CategoricalDistribution(["dear"])),
        ],
    )
    options: dict[str, Any] = {"sampler": "random", "tracking": False, "bank": False}
    study = Study.of(
        lambda config: Outcome(0.25, {"cost": 17.0}),
        space,
        name="taken",
        minimize=["cost"],
        **options,
    ).run(trials=2, progress=False)
    rows = json.loads(bequest("show", "taken", "--json").stdout)["rows"]
    assert [row["values"] for row in rows] == [{"value": 0.25, "cost": 17.0}] * 2
    assert [row["state"] for row in rows] == ["complete"] * 2
    assert [row["config"] for row in rows] == [t.config for t in study.trials]
    said, names, *table = bequest("show", "taken").stdout.split("\n", 2)
    assert said == "taken: maximize value, minimize cost; 2 complete trials"
    whole = " ".join([names, *table]).split()
    columns = ["trial", "state", "value", "cost", "config.value", "config.state", "config.cost"]
    assert whole[: len(columns)] == columns
    assert {"complete", "solid", "17", "dear", "0.25"} <= {*whole}


def test_what_a_user_wrote_is_not_markup(bequest: Any) -> None:
    def train(config: Config) -> float:
        raise ValueError("cannot open [/data/x] nor [red]")

    space = Space("[/y]", [Parameter("[/p]", FloatDistribution(0, 1))])
    options: dict[str, Any] = {"sampler": "random", "tracking": False, "bank": False}
    Study.of(train, space, name="a/b [/x]", **options).run(trials=2, progress=False)
    assert "a/b [/x]" in bequest("studies").stdout
    shown = bequest("show", "a/b [/x]").stdout
    assert "ValueError: cannot open [/data/x] nor [red]" in shown
    assert "[/p]" in shown


def test_a_relaxed_search_from_the_shell(bequest: Any, tmp_path: Path) -> None:
    """Cells on images: searched by gradient, trained as trials, the winner saved and served."""
    budget = ("--images", "150", "--epochs", "1", "--bank", "none")
    command = ("search", "digits", "--space", "nas-bench-201", "--sampler", "rarts", *budget)
    found = json.loads(bequest(*command, "--trials", "2", "--json").stdout)
    assert found["study"] == "digits-nas-bench-201-rarts-epochs-1-images-150-s0"
    assert found["trials"] == {"complete": 2}
    assert set(found["best_config"]) == {"e01", "e02", "e12", "e03", "e13", "e23"}
    assert "test_accuracy" in found["test"]
    assert "wrote r.html" in bequest("report", found["study"], "-o", "r.html").stdout
    assert "The one-shot search" in (tmp_path / "r.html").read_text()


def _served_model_predicts(source: str) -> None:
    import mlflow.pyfunc

    from bequest import load_task

    data = load_task("wine-knn").data
    assert mlflow.pyfunc.load_model(source).unwrap_python_model() is not None
    assert mlflow.pyfunc.load_model(source).predict(data).shape == (178,)


def test_tasks_are_listed_without_loading_large_libraries(bequest: Any) -> None:
    rows = json.loads(bequest("tasks", "--json").stdout)
    assert {"digits-knn", "wine-knn", "breast-cancer-knn", "cora"} <= {r["task"] for r in rows}
    assert "built in" in bequest("tasks").stdout
    code = (
        "import sys; sys.argv = ['bequest', 'tasks', '--json'];"
        "from bequest.cli.app import app; app(standalone_mode=False);"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "coar"), "error: unknown task 'coar': did you mean 'cora'?"),
        (("search", "wine-knn", "--sampler", "gpp"), "error: unknown sampler 'gpp'"),
        (("search", "wine-knn", "--storage", "sqlite:////no/x.db"), "cannot open the study store"),
        (("show", "nothing"), "error: no study 'nothing': the store is empty"),
        (("search", "mutag-links"), "error: 'mutag' is a set of graphs"),
        (("search", "wine-knn", "--space", "darts"), "error: space 'darts' does not fit node"),
    ],
)
def test_errors_are_one_sentence(bequest: Any, arguments: tuple[str, ...], message: str) -> None:
    done = bequest(*arguments, code=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--trials", "0"), "trials is 0"),
        (("--timeout", "0"), "timeout is 0"),
        (("--workers", "0"), "workers is 0"),
        (("--sampler", "gpp"), "unknown sampler 'gpp'"),
    ],
)
def test_a_refused_search_leaves_no_study_behind(
    bequest: Any, asked: tuple[str, str], message: str
) -> None:
    assert message in bequest("search", "wine-knn", "--bank", "none", *asked, code=2).stderr
    assert json.loads(bequest("studies", "--json").stdout) == []


def test_errors_of_files_and_databases_are_one_sentence(
    bequest: Any, bequest_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space("line", [Parameter("x", FloatDistribution(0, 1))])
    options: dict[str, Any] = {"sampler": "random", "tracking": False, "bank": False}
    Study.of(lambda config: 1.0, space, name="../a", **options).run(trials=1, progress=False)
    assert "wrote .._a.html" in bequest("report", "../a").stdout
    assert (tmp_path / ".._a.html").exists()
    with sqlite3.connect(bequest_home / "studies.db") as store:
        store.execute("ALTER TABLE studies RENAME COLUMN study_name TO gone")
    (tmp_path / "file").touch()
    for arguments, home, message in (
        (("show", "../a"), bequest_home, "no such column: studies.study_name"),
        (("studies",), tmp_path / "file", "set BEQUEST_HOME to a folder that can be written"),
        (("studies",), tmp_path / "file" / "x", "set BEQUEST_HOME to a folder that can be"),
    ):
        monkeypatch.setenv("BEQUEST_HOME", str(home))
        error = bequest(*arguments, code=2).stderr
        assert message in error
        assert len(error.strip().splitlines()) == 1


def test_a_report_needs_a_place(bequest: Any, tmp_path: Path) -> None:
    space = Space("line", [Parameter("x", FloatDistribution(0, 1))])
    options: dict[str, Any] = {"sampler": "random", "tracking": False, "bank": False}
    Study.of(lambda config: 1.0, space, name="a", **options).run(trials=1, progress=False)
    (tmp_path / "file").touch()
    for place in (".", "file/report.html"):
        error = bequest("report", "a", "-o", place, code=2).stderr
        assert f"error: the report cannot be written to {place!r}" in error
        assert len(error.strip().splitlines()) == 1


def test_a_table_that_is_unfit_is_refused(bequest: Any, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("question,kind\nwho,human\nwhere,place\n")
    done = bequest("search", str(table), "--text", "question", code=2)
    assert "task 'mine': the train data has no column 'label' for the label" in done.stderr
    wrong = ("search", str(table), "--text", "question", "--label", "kind", "--limit", "memry=1MiB")
    assert "one example only" in bequest(*wrong, code=2).stderr


def test_debug_shows_the_traceback(bequest: Any) -> None:
    assert "Traceback" in bequest("show", "nothing", "--debug", code=1).stderr


def test_wrong_options_are_explained(bequest: Any) -> None:
    assert "No such option" in bequest("search", "wine-knn", "--trails", "3", code=2).stderr


def test_version(bequest: Any) -> None:
    assert bequest("--version").stdout.strip() == "0.1.0"


def test_banks_from_the_shell(bequest: Any, tmp_path: Path) -> None:
    """A search leaves its trials, the next one starts from them; banks go out and come in."""
    bank = ("--bank", f"sqlite:///{tmp_path / 'bank.db'}")
    quick = ("--trials", "3", "--no-mlflow", "--no-fit", "--json", *bank)
    bequest("search", "breast-cancer-knn", "--sampler", "random", *quick)
    heir = json.loads(bequest("search", "wine-knn", *quick).stdout)
    assert "breast-cancer-knn" in {row["task"] for row in heir["inherited"]}
    shown = json.loads(bequest("bank", "show", *bank, "--json").stdout)
    counts = {row["task"]: row["records"] for row in shown["tasks"]}
    assert counts["wine-knn"] >= 3
    folder = str(tmp_path / "out")
    written = json.loads(bequest("bank", "export", folder, *bank, "--json").stdout)["records"]
    other = ("--bank", f"sqlite:///{tmp_path / 'other.db'}", "--json")
    assert json.loads(bequest("bank", "import", folder, *other).stdout)["records"] == written
    assert (
        json.loads(bequest("bank", "append", heir["study"], *bank, "--json").stdout)["records"] == 0
    )
    alone = bequest("search", "wine-knn", "--name", "alone", *quick[:-2], "--bank", "none")
    assert json.loads(alone.stdout)["inherited"] == []


def test_bank_check_says_what_to_expect(bequest: Any, tmp_path: Path) -> None:
    bank = ("--bank", f"sqlite:///{tmp_path / 'texts.db'}")
    bequest("bank", "import", str(TEXTS), *bank)
    (summary,) = json.loads(bequest("bank", "check", "--seeds", "1", *bank, "--json").stdout)
    assert summary["space"] == "peft"
    assert len(summary["tasks"]) == 10
    assert summary["mean"]["transfer"] < summary["mean"]["random"]

    left_out = sorted(summary["tasks"])[0]
    fewer = ("--trials", "2", "--seeds", "1", "--without", left_out)
    (rest,) = json.loads(bequest("bank", "check", *fewer, *bank, "--json").stdout)
    assert set(summary["tasks"]) - set(rest["tasks"]) == {left_out}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "/nowhere"), "holds no bank: there is no bank.json in it"),
        (("import", "x", "--format", "exel"), "unknown format 'exel'"),
        (("import", "sqlite:///x.db", "--format", "mlflow"), "name the MLflow experiment"),
        (
            ("import", "x", "--format", "mlflow", "--study", "s", "--direction", "max"),
            "unknown direction 'max': known are maximize, minimize",
        ),
        (("show", "--bank", "sqlite:////nowhere/b.db"), "cannot open the bank"),
        (("check", "--space", "gnnn", "--bank", "sqlite://"), "unknown space in the bank 'gnnn'"),
        (("check", "--without", "trek50"), "unknown task in the bank 'trek50'"),
        (("append", "nothing"), "the store is empty"),
    ],
)
def test_bank_errors_are_one_sentence(
    bequest: Any, arguments: tuple[str, ...], message: str
) -> None:
    error = bequest("bank", *arguments, code=2).stderr
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_training_tasks_from_the_shell(bequest: Any) -> None:
    quick = ("select-tasks", "rotated-digits", "--no-mlflow", "--json")
    first = json.loads(bequest(*quick, "--budget", "2").stdout)
    more = json.loads(bequest(*quick, "--budget", "3").stdout)
    assert [s["V"] for s in more["sources"]][:2] == [s["V"] for s in first["sources"]]
    assert more["value"] > first["value"] > 0.3
    assert all(Path(p).exists() for p in more["pictures"])
    wrong = bequest("select-tasks", "rotated-digit", code=2)
    assert "did you mean 'rotated-digits'" in wrong.stderr
    assert "a budget of 0 sources" in bequest(*quick, "--budget", "0", code=2).stderr


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (("--label", "kind"), "--label is for a table"),
        (("--test", "/nowhere.csv"), "--test is for a table"),
        (("--train-on-validation", "--no-fit"), "leave --no-fit out"),
        (("--workers", "0"), "workers is 0"),
        (("--seed", "-1"), "seed is -1"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    bequest: Any, asked: tuple[str, ...], reason: str
) -> None:
    done = bequest(*SEARCH, *asked, code=2)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
