"""One study's runs in MLflow: a parent for the study, a child for each trial.

Every write can be repeated without doubling anything: children are found by their tags, and points
of a curve carry the trial's own times.
"""

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
from ..two_stage.once_for_all import mirror as joint
from ..two_stage.one_shot.mirror import write_findings, write_progress
from .mlflow_client import (
    MAX_METRICS,
    MAX_PARAMS,
    MAX_TEXT,
    accepted_names,
    connect,
    experiment,
    link_to,
    milliseconds,
)

OBJECTIVE = "objective"
PATIENCE_SECONDS = 120
"""After so long a trial of another process is written by whoever misses it."""

STATUS = {COMPLETE: "FINISHED", PRUNED: "KILLED", FAILED: "FAILED"}


class Mirror:
    """The MLflow runs of one study.

    Args:
        study: The study as the store has it.
        uri: MLflow's tracking URI.

    Raises:
        Exception: Whatever MLflow raises when it cannot be reached.
    """

    def __init__(self, study: StudyRecord, uri: str) -> None:
        self.study = study
        self.uri = uri
        self.key = study.key
        self.client = connect(uri)
        self.experiment_id = experiment(self.client, uri, f"bequest/{study.facts['task']}")
        self.parent_id = self._parent()
        self.written: set[int] = set()
        self.unfinished: dict[int, str] = {}
        self._find_children()

    # The study ----------------------------------------------------------------------------------

    def _parent(self) -> str:
        rule = f"tags.`bequest.study` = '{self.key}' and tags.`bequest.role` = 'study'"
        found = self.client.search_runs([self.experiment_id], rule, max_results=1)
        if found:
            parent_id = str(found[0].info.run_id)
            self.client.update_run(parent_id, status="RUNNING")
            return parent_id
        facts = self.study.facts
        tags = {"bequest.study": self.key, "bequest.role": "study", **_study_tags(facts)}
        run = self.client.create_run(self.experiment_id, run_name=self.study.name, tags=tags)
        parent_id = str(run.info.run_id)
        for name in ("task", "sampler", "pruner", "seed"):
            self.client.log_param(parent_id, name, facts[name])
        self.client.log_dict(parent_id, facts, "study.json")
        self._log_dataset(parent_id, facts)
        return parent_id

    def _log_dataset(self, run_id: str, facts: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = json.dumps(facts["task_facts"], default=str)
        dataset = Dataset(
            name=facts["task"],
            digest=hashlib.sha256(profile.encode()).hexdigest()[:8],
            source_type="code",
            source=json.dumps({"tags": {"bequest.task": facts["task"]}}),
            profile=profile[:MAX_TEXT],
        )
        context = [InputTag("mlflow.data.context", "train, validation, test")]
        self.client.log_inputs(run_id, [DatasetInput(dataset, context)])

    # Its trials ---------------------------------------------------------------------------------

    def _find_children(self) -> None:
        rule = f"tags.`bequest.study` = '{self.key}' and tags.`bequest.role` = 'trial'"
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], rule, page_token=token)
            for run in page:
                number = int(run.data.tags["bequest.trial"])
                if run.info.status == "RUNNING":
                    self.unfinished[number] = run.info.run_id
                else:
                    self.written.add(number)
            token = page.token
            if not token:
                return

    def write(self) -> int:
        """Write the trials that have ended and are not there yet; others' are left to them."""
        trials = self.study.trials
        new = [t for t in trials if t.state in STATUS and t.number not in self.written]
        new = [t for t in new if _is_left_to_us(t)]
        write_progress(self.client, self.parent_id, self.study.relaxed)
        joint.write_progress(self.client, self.parent_id, self.study.joint)
        if not all(is_ours(t.owner) for t in new):
            self._find_children()  # what others have written meanwhile
            new = [t for t in new if t.number not in self.written]
        for trial in new:
            self._write_child(trial)
            self.written.add(trial.number)
        if new:
            self._write_incumbent(trials, {t.slot for t in new})
        return len(new)

    def _write_child(self, trial: Trial) -> None:
        from mlflow.entities import Metric, Param

        run_id = self.unfinished.pop(trial.number, None) or self._create_child(trial)
        ended = milliseconds(trial.finished)
        given = [OBJECTIVE, f"{self.study.metric}_curve", *trial.metrics]
        objective, curve, *names = accepted_names(given)
        values = trial.metrics.values()
        metrics = [Metric(n, value, ended, 0) for n, value in zip(names, values, strict=True)]
        if trial.value is not None:
            metrics.append(Metric(objective, trial.value, ended, 0))
        metrics += [Metric(curve, value, ended, step) for step, value in trial.curve.items()]
        knobs = zip(accepted_names(trial.config), trial.config.values(), strict=True)
        params = [Param(name, str(value)[:MAX_TEXT]) for name, value in knobs]
        # One batch is the common case; a server refuses larger ones.
        batches = max(1, -(-len(metrics) // MAX_METRICS), -(-len(params) // MAX_PARAMS))
        for i in range(batches):
            self.client.log_batch(
                run_id,
                metrics[i * MAX_METRICS : (i + 1) * MAX_METRICS],
                params[i * MAX_PARAMS : (i + 1) * MAX_PARAMS],
            )
        self.client.set_terminated(run_id, STATUS[trial.state], ended)

    def _create_child(self, trial: Trial) -> str:
        tags = {
            "mlflow.parentRunId": self.parent_id,
            "bequest.study": self.key,
            "bequest.role": "trial",
            "bequest.trial": str(trial.number),
            "bequest.slot": str(trial.slot),
            "bequest.state": trial.state,
        }
        if trial.error is not None:
            tags["bequest.error"] = tags["mlflow.note.content"] = trial.error[:MAX_TEXT]
        run = self.client.create_run(
            self.experiment_id, milliseconds(trial.started), tags, f"trial {trial.slot}"
        )
        return str(run.info.run_id)

    def _write_incumbent(self, trials: list[Trial], new: set[int]) -> None:
        """The best value so far, by slot, on the parent."""
        from mlflow.entities import Metric

        best = incumbents(trials, self.study.direction)
        points = [
            Metric("best", value, milliseconds(trial.finished), trial.slot)
            for trial, value in zip(trials, best, strict=True)
            if trial.slot in new and value is not None
        ]
        for start in range(0, len(points), MAX_METRICS):
            self.client.log_batch(self.parent_id, points[start : start + MAX_METRICS])

    # The end ------------------------------------------------------------------------------------

    def finish(self, status: str) -> None:
        """Put the pictures and the best configuration on the parent, and end it."""
        from .plots import static_plots

        trials = self.study.trials
        done = [t for t in trials if t.state == COMPLETE]
        counts = {state: sum(t.state == state for t in trials) for state in _COUNTED}
        for state, count in counts.items():
            self.client.set_tag(self.parent_id, f"bequest.trials.{state}", count)
        if done:
            best = self.study.best
            facts = {"slot": best.slot, "value": best.value, "config": best.config}
            self.client.log_dict(self.parent_id, {**facts, "metrics": best.metrics}, "best.json")
            self.client.set_tag(self.parent_id, "bequest.best_slot", best.slot)
            if self.study.inherited:
                rows = self.study.inherited
                self.client.log_dict(self.parent_id, {"tasks": rows}, "inherited.json")
                heard = ", ".join(f"{row['task']} {row['weight']:+.2f}" for row in rows)
                self.client.set_tag(self.parent_id, "bequest.inherited_from", heard[:MAX_TEXT])
            if self.study.minimize:
                rows = self.study.front_rows()
                self.client.log_dict(self.parent_id, {"trials": rows}, "front.json")
            figures = static_plots(self.study.optuna_study, self.study.objectives)
            for name, figure in figures.items():
                self.client.log_figure(self.parent_id, figure, f"plots/{name}.png")
        write_findings(self.client, self.parent_id, self.study.relaxed)
        joint.write_findings(self.client, self.parent_id, self.study.joint, trials)
        if not counts[RUNNING]:  # else others go on, and the last one ends the study's run
            self.client.set_terminated(self.parent_id, status)

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
            self.client.log_artifacts(self.parent_id, str(target), "model")
        for name, value in zip(accepted_names(metrics), metrics.values(), strict=True):
            self.client.log_metric(self.parent_id, name, value)
        self._register()

    def _register(self) -> None:
        from mlflow.exceptions import MlflowException

        name = self.study.name.replace("/", "-").replace(":", "-")
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self.client.get_run(self.parent_id).info.artifact_uri}/model"
        version = self.client.create_model_version(name, source, self.parent_id)
        self.client.set_registered_model_alias(name, "best", version.version)

    def link(self) -> str:
        """The parent run's page; on a local database, as ``bequest ui`` serves it."""
        return link_to(self.uri, self.experiment_id, self.parent_id)


def _is_left_to_us(trial: Trial) -> bool:
    """Whether nobody else is about to write a trial: each process writes its own."""
    if is_ours(trial.owner) or is_abandoned(trial.owner):
        return True
    ended = 0.0 if trial.finished is None else trial.finished.timestamp()
    return time.time() - ended > PATIENCE_SECONDS


_COUNTED = (COMPLETE, PRUNED, FAILED, RUNNING, LOST_STATE)


def _study_tags(facts: dict[str, Any]) -> dict[str, str]:
    small = "".join(f", minimize {name}" for name in facts.get("minimize", []))
    note = (
        f"{facts['direction']} {facts['metric']}{small} on {facts['task']}: "
        f"sampler {facts['sampler']}, "
        f"pruner {facts['pruner']}, seed {facts['seed']}"
    )
    names = ("task", "metric", "direction", "sampler", "pruner", "seed", "version", "space_hash")
    return {"mlflow.note.content": note, **{f"bequest.{n}": str(facts[n]) for n in names}}
