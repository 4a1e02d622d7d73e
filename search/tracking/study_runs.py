"""One study's runs in MLflow: a parent for the study, a child for each trial, the model."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from ..execution.ownership import is_abandoned, is_ours
from ..studies.record import StudyRecord, incumbents
from ..studies.trial import COMPLETE, FAILED, LOST_STATE, PRUNED, RUNNING, Trial
from ..two_stage import stage_of
from .mlflow_client import MAX_TEXT, accepted_names
from .run_tree import Child, Point, RunTree

OBJECTIVE = "objective"
PATIENCE_SECONDS = 120
"""After so long any process writes a trial that its own has not written."""

STATUS = {COMPLETE: "FINISHED", PRUNED: "KILLED", FAILED: "FAILED"}
COUNTED = (COMPLETE, PRUNED, FAILED, RUNNING, LOST_STATE)


class StudyRuns:
    """The MLflow runs of one study.

    Args:
        study: The stored study.
        uri: MLflow's tracking URI.

    Raises:
        Exception: Whatever MLflow raises if it cannot be reached.
    """

    def __init__(self, study: StudyRecord, uri: str) -> None:
        self.study = study
        identity = study.identity
        experiment = f"bequest/{identity['task']}"
        self.runs = RunTree(uri, experiment, study.key, "study", "trial", "bequest.trial")
        is_new = self.runs.open_parent(
            study.name,
            _study_tags(identity),
            {name: identity[name] for name in ("task", "sampler", "pruner", "seed")},
            {"study.json": identity},
        )
        if is_new:
            self._log_dataset(identity)

    def _log_dataset(self, identity: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = json.dumps(identity["task_facts"], default=str)
        dataset = Dataset(
            name=identity["task"],
            digest=hashlib.sha256(profile.encode()).hexdigest()[:8],
            source_type="code",
            source=json.dumps({"tags": {"bequest.task": identity["task"]}}),
            profile=profile[:MAX_TEXT],
        )
        context = [InputTag("mlflow.data.context", "train, validation, test")]
        self.runs.client.log_inputs(self.runs.parent_id, [DatasetInput(dataset, context)])

    # Its trials -----------------------------------------------------------------------------------

    def write(self) -> int:
        """Write the trials that have ended and are not there yet; others' are left to them."""
        trials = self.study.trials
        written = self.runs.written
        new = [t for t in trials if t.state in STATUS and t.number not in written]
        new = [t for t in new if _is_left_to_us(t)]
        self._write_stage()
        if not all(is_ours(t.owner) for t in new):
            self.runs.find_children()  # what others have written meanwhile
            new = [t for t in new if t.number not in written]
        for trial in new:
            self.runs.write_child(_child(trial, self.study.metric))
        if new:
            self._write_incumbent(trials, {t.slot for t in new})
        return len(new)

    def _write_stage(self) -> None:
        stage = stage_of(self.study)
        if stage is not None:
            search, findings = stage.search, stage.findings
            self.runs.write_epochs(
                f"bequest.{search.key}.epochs",
                findings.get("epochs", []),
                lambda epoch: search.curves(findings, epoch),
            )

    def _write_incumbent(self, trials: list[Trial], new: set[int]) -> None:
        """The best value so far, by slot, on the parent."""
        best = incumbents(trials, self.study.direction)
        self.runs.write_points(
            Point("best", value, trial.finished, trial.slot)
            for trial, value in zip(trials, best, strict=True)
            if trial.slot in new and value is not None
        )

    # The end --------------------------------------------------------------------------------------

    def finish(self, status: str) -> None:
        """Put plots and the best configuration on the parent, and end it."""
        trials = self.study.trials
        counts = {state: sum(t.state == state for t in trials) for state in COUNTED}
        self.runs.log(tags={f"bequest.trials.{state}": n for state, n in counts.items()})
        if counts[COMPLETE]:
            self._log_results()
        stage = stage_of(self.study)
        if stage is not None:
            logged = stage.search.logged(stage.findings, trials)
            self.runs.log(
                metrics=logged.metrics,
                tags={f"bequest.{name}": value for name, value in logged.tags.items()},
                documents=logged.documents,
                figures=logged.figures,
            )
        if not counts[RUNNING]:  # else other processes go on, and the last one ends the run
            self.runs.end(status)

    def _log_results(self) -> None:
        from .plots import static_plots

        best, weights = self.study.best, self.study.source_weights
        documents: dict[str, Any] = {
            "best.json": {
                "slot": best.slot,
                "value": best.value,
                "config": best.config,
                "metrics": best.metrics,
            }
        }
        tags: dict[str, object] = {"bequest.best_slot": best.slot}
        if weights:
            documents["inherited.json"] = {"tasks": weights}
            tags["bequest.inherited_from"] = ", ".join(
                f"{row['task']} {row['weight']:+.2f}" for row in weights
            )
        if self.study.minimize:
            documents["front.json"] = {"trials": self.study.front_rows()}
        plots = static_plots(self.study.optuna_study, self.study.objectives)
        figures = {f"plots/{name}": figure for name, figure in plots.items()}
        self.runs.log(tags=tags, documents=documents, figures=figures)

    def log_model(self, folder: str, metrics: dict[str, float]) -> None:
        """Log the model as code that loads safetensors (no pickle), register it as ``best``."""
        import mlflow.pyfunc

        code = Path(__file__).with_name("served_model.py")
        with tempfile.TemporaryDirectory() as place:
            target = Path(place) / "model"
            with warnings.catch_warnings():
                # It asks for type hints and an input example, which graphs cannot give.
                warnings.simplefilter("ignore")
                mlflow.pyfunc.save_model(
                    str(target),
                    python_model=str(code),
                    artifacts={"model": folder},
                    pip_requirements=["bequest"],
                )
            self.runs.client.log_artifacts(self.runs.parent_id, str(target), "model")
        names = accepted_names(metrics)
        self.runs.log(metrics=dict(zip(names, metrics.values(), strict=True)))
        self._register()

    def _register(self) -> None:
        from mlflow.exceptions import MlflowException

        client, parent_id = self.runs.client, self.runs.parent_id
        name = self.study.name.replace("/", "-").replace(":", "-")
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{client.get_run(parent_id).info.artifact_uri}/model"
        version = client.create_model_version(name, source, parent_id)
        client.set_registered_model_alias(name, "best", version.version)

    def link(self) -> str:
        """See `RunTree.link`."""
        return self.runs.link()


def _child(trial: Trial, metric: str) -> Child:
    """A trial as MLflow shows it."""
    objective, curve, *names = accepted_names([OBJECTIVE, f"{metric}_curve", *trial.metrics])
    ended = trial.finished
    points = [Point(n, v, ended) for n, v in zip(names, trial.metrics.values(), strict=True)]
    if trial.value is not None:
        points.append(Point(objective, trial.value, ended))
    points += [Point(curve, value, ended, step) for step, value in trial.curve.items()]
    values = map(str, trial.config.values())
    return Child(
        number=trial.number,
        name=f"trial {trial.slot}",
        status=STATUS[trial.state],
        started=trial.started,
        finished=ended,
        params=dict(zip(accepted_names(trial.config), values, strict=True)),
        points=points,
        tags={"bequest.slot": str(trial.slot), "bequest.state": trial.state},
        error=trial.error,
    )


def _is_left_to_us(trial: Trial) -> bool:
    """Whether no other process is about to write a trial: each writes its own."""
    if is_ours(trial.owner) or is_abandoned(trial.owner):
        return True
    ended = 0.0 if trial.finished is None else trial.finished.timestamp()
    return time.time() - ended > PATIENCE_SECONDS


def _study_tags(identity: dict[str, Any]) -> dict[str, str]:
    minimized = "".join(f", minimize {name}" for name in identity.get("minimize", []))
    note = (
        f"{identity['direction']} {identity['metric']}{minimized} on {identity['task']}: "
        f"sampler {identity['sampler']}, "
        f"pruner {identity['pruner']}, seed {identity['seed']}"
    )
    names = ("task", "metric", "direction", "sampler", "pruner", "seed", "version", "space_hash")
    return {"mlflow.note.content": note, **{f"bequest.{n}": str(identity[n]) for n in names}}
