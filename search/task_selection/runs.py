"""A selection's runs in MLflow: a parent for the selection, a child for each trained source."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from ..tracking.mlflow_client import (
    MAX_TEXT,
    accepted_names,
    connect,
    experiment,
    link_to,
    milliseconds,
)
from ..tracking.tracker import Tracker, tracker_of
from .store import Source
from .summary import Findings


def make_tracker(selection: Findings, tracking: str | bool | None) -> Tracker[SelectionMirror]:
    """The tracker of a selection; see `tracker_of`."""
    remedy = "run it again, or call its sync(), to log what is missing"
    return tracker_of(lambda uri: SelectionMirror(selection, uri), tracking, remedy)


class SelectionMirror:
    """The MLflow runs of one selection; every write can be repeated without doubling anything.

    Args:
        selection: What is mirrored.
        uri: MLflow's tracking URI.
    """

    def __init__(self, selection: Findings, uri: str) -> None:
        self.selection, self.uri = selection, uri
        self.key = selection.facts["key"]
        self.client = connect(uri)
        self.experiment_id = experiment(self.client, uri, "bequest/task-selection")
        self.parent_id = self._parent()
        self.written = self._children()

    def _parent(self) -> str:
        rule = f"tags.`bequest.selection` = '{self.key}' and tags.`bequest.role` = 'selection'"
        found = self.client.search_runs([self.experiment_id], rule, max_results=1)
        if found:
            parent_id = str(found[0].info.run_id)
            self.client.update_run(parent_id, status="RUNNING")
            return parent_id
        facts = self.selection.facts
        note = (
            f"choose training tasks among {len(facts['contexts'])} contexts "
            f"({', '.join(facts['dimensions'])}): selector {facts['selector']}, "
            f"seed {facts['seed']}"
        )
        tags = {
            "bequest.selection": self.key,
            "bequest.role": "selection",
            "bequest.version": facts["version"],
            "mlflow.note.content": note,
        }
        run = self.client.create_run(self.experiment_id, run_name=self.selection.name, tags=tags)
        parent_id = str(run.info.run_id)
        for name in ("selector", "seed"):
            self.client.log_param(parent_id, name, facts[name])
        self.client.log_param(parent_id, "contexts", len(facts["contexts"]))
        self.client.log_dict(parent_id, facts, "selection.json")
        return parent_id

    def _children(self) -> set[int]:
        rule = f"tags.`bequest.selection` = '{self.key}' and tags.`bequest.role` = 'source'"
        found: set[int] = set()
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], rule, page_token=token)
            for run in page:
                place = int(run.data.tags["bequest.place"])
                if run.info.status == "RUNNING":  # a kill has cut it off: write it again
                    self.client.delete_run(run.info.run_id)
                else:
                    found.add(place)
            token = page.token
            if not token:
                return found

    def write(self) -> int:
        new = [(k, s) for k, s in enumerate(self.selection.sources) if k not in self.written]
        for place, source in new:
            self._write_child(place, source)
            self.written.add(place)
        return len(new)

    def _write_child(self, place: int, source: Source) -> None:
        from mlflow.entities import Metric, Param

        ended = milliseconds(datetime.fromtimestamp(source.finished))
        tags = {
            "mlflow.parentRunId": self.parent_id,
            "bequest.selection": self.key,
            "bequest.role": "source",
            "bequest.place": str(place),
        }
        if source.error is not None:
            tags["bequest.error"] = tags["mlflow.note.content"] = source.error[:MAX_TEXT]
        began = ended - int(1000 * source.seconds)
        name = f"source {place}: context {source.index}"
        run = self.client.create_run(self.experiment_id, began, tags, name)
        context = self.selection.contexts[source.index]
        names = accepted_names(["context", *self.selection.dimensions])
        numbers = [str(source.index), *(f"{value:g}" for value in context)]
        params = [Param(name, number) for name, number in zip(names, numbers, strict=True)]
        values = {
            "V": source.value,
            "expected_gain": source.expected_gain,
            "seconds": source.seconds,
            "own_return": source.row[source.index],
        }
        if source.error is None:
            values["mean_return"] = float(np.nanmean(source.row))
        metrics = [Metric(k, float(v), ended, 0) for k, v in values.items() if np.isfinite(v)]
        self.client.log_batch(run.info.run_id, metrics, params)
        if np.isfinite(source.value):
            self.client.log_metric(self.parent_id, "V", source.value, ended, place + 1)
        status = "FINISHED" if source.error is None else "FAILED"
        self.client.set_terminated(run.info.run_id, status, ended)

    def finish(self, status: str) -> None:
        from .figures import pictures

        selection = self.selection
        if selection.selector.trained:
            self.client.log_dict(self.parent_id, summary(selection), "chosen.json")
            for name, figure in pictures(selection).items():
                self.client.log_figure(self.parent_id, figure, f"plots/{name}.png")
        self.client.set_terminated(self.parent_id, status)

    def link(self) -> str:
        return link_to(self.uri, self.experiment_id, self.parent_id)


def summary(selection: Findings) -> dict[str, Any]:
    """What was chosen, as plain values: sources with their contexts, and whom they serve."""
    assignment = selection.assignment
    sources = [
        {
            "context": int(source.index),
            "place": selection.contexts[source.index].tolist(),
            "V": _plain(source.value),
            "expected_gain": _plain(source.expected_gain),
            "serves": int((assignment == source.index).sum()),
            "seconds": round(source.seconds, 3),
            "error": source.error,
        }
        for source in selection.sources
    ]
    return {"selection": selection.name, "value": _plain(selection.value), "sources": sources}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
