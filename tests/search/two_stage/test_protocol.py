"""A search in two stages from outside the package: registered, run, resumed, logged, reported."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from optuna.distributions import IntDistribution

from bequest import Parameter, Space, Study
from bequest.common.errors import BequestError, StudyError, UnknownNameError
from bequest.common.figures import drawing
from bequest.evaluators.limits import Limit
from bequest.search.studies.trial import Trial
from bequest.search.two_stage import SEARCHES, Entry, register_search, stage_of, target_rows
from bequest.search.two_stage.protocol import (
    Findings,
    FindingsStore,
    Logged,
    Section,
    StageContext,
    StageSampler,
    TwoStageSearch,
    check_settings,
)

SPACE = Space("sizes", [Parameter("size", IntDistribution(1, 100))])
EPOCHS = 4


@dataclass(frozen=True)
class ShrinkingSettings:
    limits: tuple[Limit, ...] = ()
    method: str = "shrinking"
    label: str = ""


class ShrinkingSampler(StageSampler):
    """ "Trains" for some epochs; the candidates are the largest sizes within the limit."""

    def __init__(self, settings: ShrinkingSettings, context: StageContext) -> None:
        super().__init__(SPACE, context.store, context.folder / "shrinking.lock")
        self.most = int(settings.limits[0].value) if settings.limits else 100
        check_settings(context.store.read(), {"most": self.most})

    def run_stage(self, store: FindingsStore) -> Findings:
        findings: Findings = {"epochs": [], "settings": {"most": self.most}, **store.read()}
        while len(findings["epochs"]) < EPOCHS:
            number = len(findings["epochs"]) + 1
            findings["epochs"] = [*findings["epochs"], {"epoch": number, "loss": 1 / number}]
            store.write(findings)
        sizes = [self.most - i for i in range(3)]
        targets: list[list[dict[str, float]]] = [[{"cost": self.most}], [], []]
        findings["candidates"] = [
            {"config": {"size": size}, "targets": target, "costs": {"cost": size}}
            for size, target in zip(sizes, targets, strict=True)
        ]
        store.write(findings)
        return findings


class Shrinking(TwoStageSearch[ShrinkingSettings]):
    key = "shrinking"

    def settings(self, method: str, space: Space, limits: Sequence[Any] = ()) -> ShrinkingSettings:
        return ShrinkingSettings(tuple(limits), method)

    def sampler(self, settings: ShrinkingSettings, context: StageContext) -> StageSampler:
        return ShrinkingSampler(settings, context)

    def curves(self, findings: Findings, epoch: Mapping[str, Any]) -> Mapping[str, float]:
        return {"shrinking/loss": epoch["loss"]}

    def logged(self, findings: Findings, trials: Sequence[Trial]) -> Logged:
        with drawing() as (plt, figures):
            figures["shrinking/curve"] = plt.figure()
        return Logged(
            {"final_loss": findings["epochs"][-1]["loss"]},
            {"shrinking.most": str(findings["settings"]["most"])},
            {"shrinking/findings.json": findings},
            figures,
        )

    def section(self, findings: Findings, trials: Sequence[Trial]) -> Section:
        with drawing() as (plt, figures):
            figures["The curve"] = plt.figure()
        rows = [{"size": row["config"]["size"]} for row in findings.get("candidates", [])]
        return Section("The shrinking search", f"{len(trials)} trials.", rows, figures)

    def targets(self, findings: Findings) -> list[dict[str, float]]:
        return [target for row in findings.get("candidates", []) for target in row["targets"]]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register_search("shrinking", Entry(Shrinking(), takes_limits=True))
    yield
    del SEARCHES["shrinking"]


def _measure(config: dict[str, Any]) -> Any:
    from bequest import Outcome

    return Outcome(config["size"] / 100, {"cost": float(config["size"])})


def _study(**options: Any) -> Study:
    given: dict[str, Any] = {"sampler": "shrinking", "tracking": False, "bank": False, "name": "s"}
    return Study.of(_measure, SPACE, **{**given, **options})


def test_its_candidates_are_the_trials() -> None:
    study = _study(storage="memory").run(trials=3, progress=False)
    assert [t.config for t in study.trials] == [{"size": 100}, {"size": 99}, {"size": 98}]
    assert study.best.config == {"size": 100}
    with pytest.raises(StudyError, match="found 3 networks, too few for 4 trials"):
        study.run(trials=4, progress=False)


def test_settings_and_limits_reach_the_stage() -> None:
    settings = SEARCHES["shrinking"].load().settings("shrinking", SPACE, [Limit("cost", 7.0)])
    study = _study(sampler=settings, storage="memory").run(trials=2, progress=False)
    assert [t.config for t in study.trials] == [{"size": 7}, {"size": 6}]
    assert target_rows(study.record) == [{"within": "cost 7", "trial": 0, "value": 0.07, "cost": 7}]


def test_a_stage_that_runs_out_of_time_is_continued(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    study = _study(storage=url)
    with pytest.raises(StudyError, match="time is over before the search that comes first"):
        study.optuna_study.sampler.prepare(time.time() - 1)  # type: ignore[attr-defined]
    assert len(study.record.findings("shrinking")["epochs"]) == 1
    resumed = _study(storage=url).run(trials=1, progress=False)
    assert [e["epoch"] for e in resumed.record.findings("shrinking")["epochs"]] == [1, 2, 3, 4]


def test_other_settings_are_refused_on_resume(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    _study(storage=url).run(trials=1, progress=False)
    other = ShrinkingSettings((Limit("cost", 7.0),))
    with pytest.raises(StudyError, match="begun with most 100, not 7"):
        _study(storage=url, sampler=other)


def test_mlflow_and_the_report_show_it(mlflow_home: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{mlflow_home / 'mlflow.db'}"
    study = _study(storage=f"sqlite:///{tmp_path}/s.db", tracking=uri).run(trials=2, progress=False)
    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name.startswith("bequest/")]
    rule = "tags.`bequest.role` = 'study'"
    (run,) = client.search_runs([experiment.experiment_id], rule)
    curve = client.get_metric_history(run.info.run_id, "shrinking/loss")
    assert [(p.step, p.value) for p in curve] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert run.data.metrics["final_loss"] == 0.25
    assert run.data.tags["bequest.shrinking.most"] == "100"
    paths = {a.path for a in client.list_artifacts(run.info.run_id, "shrinking")}
    assert paths == {"shrinking/findings.json", "shrinking/curve.png"}
    page = study.report(tmp_path / "r.html").read_text()
    for text in ("The shrinking search", "2 trials.", "The curve", "<td>99</td>"):
        assert text in page


def test_a_study_without_a_stage_has_none() -> None:
    study = _study(sampler="random", storage="memory").run(trials=1, progress=False)
    assert stage_of(study.record) is None
    assert target_rows(study.record) == []


def test_several_objectives_are_refused() -> None:
    with pytest.raises(StudyError, match="does not search for cost"):
        _study(minimize=["cost"], storage="memory")


def test_names() -> None:
    with pytest.raises(BequestError, match="'apq' already"):
        register_search("apq", Entry(Shrinking()))
    with pytest.raises(UnknownNameError, match="did you mean 'shrinking'"):
        _study(sampler="shrinkin", storage="memory")
