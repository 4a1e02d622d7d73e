"""Homes that version 0.1.0 left behind open, and what was cut off there goes on.

``tests/assets/0.1.0`` was written by that version: studies killed in the middle of a trial, the
first stage of a one-shot search killed after two of three epochs, a bank, a selection; beside them
the sequences that undisturbed runs of that version had.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bequest import Condition, Outcome, Parameter, Space, Study, TaskSelection
from bequest.evaluators.datasets import load_task
from bequest.evaluators.function import FunctionEvaluator, FunctionTask
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.evaluators.image.training import Budget
from bequest.search.studies.record import list_records, open_record
from bequest.search.tracking.report import write_report
from bequest.search.two_stage.one_shot.settings import OneShotSettings, Regularisation
from bequest.spaces import Config

ASSETS = Path(__file__).parents[1] / "assets" / "0.1.0"
SAMPLERS = ("random", "tpe", "evolution", "gp", "transfer")


@pytest.fixture
def home(bequest_home: Path) -> Path:
    shutil.copytree(ASSETS / "home", bequest_home, dirs_exist_ok=True)
    return bequest_home


def _objective(config: Config) -> float:
    value = 1 - (float(config["x"]) - 0.3) ** 2 - 0.05 * abs(int(config["layers"]) - 3)
    if config["kind"] != "a":
        value += 0.1 - 0.02 * abs(math.log10(float(config["rate"])) + 2)
    return value


def _measure(config: Config, seed: int, report: Any) -> Outcome:
    value = _objective(config)
    for step in range(3):
        report(step, value * (step + 1) / 3)
    return Outcome(value, {"cost": float(config["layers"]), "seconds": 1.0})


def _study(name: str, **options: Any) -> Study:
    space = Space(
        "toy",
        [
            Parameter("x", FloatDistribution(-1.0, 1.0)),
            Parameter("layers", IntDistribution(1, 4)),
            Parameter("kind", CategoricalDistribution(("a", "b", "c"))),
            Parameter(
                "rate", FloatDistribution(1e-4, 1.0, log=True), Condition("kind", ("b", "c"))
            ),
        ],
    )
    evaluator = FunctionEvaluator(_measure, space, FunctionTask("toy", "score", "maximize"))
    return Study(evaluator, name=name, tracking=False, **options)


def _sequence(study: Study) -> list[dict[str, Any]]:
    return [
        {"slot": t.slot, "state": t.state, "config": t.config, "value": t.value}
        for t in study.trials
    ]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_cut_in_the_middle_goes_on_as_it_would_have(home: Path, sampler: str) -> None:
    bank: Any = False
    if sampler == "transfer":  # the bank is known by the path that it had
        bank = f"sqlite:///{home / 'bank.db'}"
    study = _study(f"cut-{sampler}", sampler=sampler, bank=bank)
    states = [trial.state for trial in study.trials]
    assert states[-1] == "running"
    assert set(states[:-1]) == {"complete"}
    study.run(trials=10, progress=False)
    expected = json.loads((ASSETS / "sequences.json").read_text())[sampler]
    sequence = _sequence(study)
    for row, other in zip(sequence, expected, strict=True):
        assert row["config"].keys() == other["config"].keys()
        for name, value in other["config"].items():
            exact = isinstance(value, str)
            assert row["config"][name] == (value if exact else pytest.approx(value, rel=1e-9))
        assert row["value"] == pytest.approx(other["value"])


def test_studies_are_listed_read_and_reported(home: Path, tmp_path: Path) -> None:
    names = [record.name for record in list_records()]
    assert names == sorted(
        [f"cut-{s}" for s in SAMPLERS] + ["front", "one-shot"] + [f"source{i}" for i in range(4)]
    )
    front = open_record("front")
    expected = json.loads((ASSETS / "sequences.json").read_text())
    assert front.front_rows() == expected["front_rows"]
    assert [t.value for t in front.trials] == [row["value"] for row in expected["front"]]
    for name in names:
        page = write_report(open_record(name), tmp_path / f"{name}.html").read_text()
        assert name in page
    assert "The one-shot search" in (tmp_path / "one-shot.html").read_text()


def test_a_first_stage_goes_on_from_its_checkpoint(home: Path) -> None:
    budget = Budget(epochs=2, images=200, batch_size=32)
    evaluator = ImageEvaluator(load_task("digits"), budget=budget, channels=4)
    settings = OneShotSettings(epochs=3, regularisation=Regularisation(warmup=1), eigenvalues=False)
    study = Study(evaluator, sampler=settings, tracking=False, name="one-shot", bank=False)
    before = study.record.findings("relaxed")
    assert len(before["epochs"]) == 2
    study.run(trials=2, progress=False)
    after = study.record.findings("relaxed")
    assert after["epochs"][:2] == before["epochs"]
    expected = json.loads((ASSETS / "one_shot.json").read_text())
    assert [row["config"] for row in _sequence(study)] == [row["config"] for row in expected]
    assert [t.value for t in study.trials] == pytest.approx([r["value"] for r in expected])


def test_a_selection_goes_on(home: Path) -> None:
    def selection() -> TaskSelection:
        return TaskSelection(
            np.linspace(0, 1, 25),
            lambda context: float(context[0]),
            lambda model, contexts: 1 - np.abs(model - contexts[:, 0]),
            name="line",
            selector="gp-mbtl",
            tracking=False,
        )

    expected = json.loads((ASSETS / "selection.json").read_text())
    assert selection().selector.trained == expected["trained"][:4]
    whole = selection().run(budget=7)
    assert whole.selector.trained == expected["trained"]
    assert whole.value == pytest.approx(expected["value"])
    assert selection().selector.trained == expected["trained"]


def test_a_damaged_file_of_a_selection_is_named(home: Path) -> None:
    def selection() -> TaskSelection:
        return TaskSelection([0.0, 1.0], float, float, name="line", tracking=False)

    path = home / "selections" / "line" / "sources" / "0001.npz"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(Exception, match=r"0001\.npz.*damaged: remove it"):
        selection()
    (home / "selections" / "line" / "selection.json").write_text("{")
    path.unlink()
    with pytest.raises(Exception, match=r"selection\.json.*damaged"):
        selection()
