"""A selection's runs in MLflow: a parent for the selection, a child for each trained source."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ..tracking.mlflow_client import accepted_names
from ..tracking.run_tree import Child, Point, RunTree
from ..tracking.tracker import Tracker, tracker_of
from .store import Source
from .summary import SelectionSummary


def make_tracker(
    selection: SelectionSummary, tracking: str | bool | None
) -> Tracker[SelectionRuns]:
    """The tracker of a selection; see `tracker_of`."""
    remedy = "run it again, or call its sync(), to log what is missing"
    return tracker_of(lambda uri: SelectionRuns(selection, uri), tracking, remedy)


class SelectionRuns:
    """The MLflow runs of one selection.

    Args:
        selection: The selection.
        uri: MLflow's tracking URI.
    """

    def __init__(self, selection: SelectionSummary, uri: str) -> None:
        self.selection = selection
        identity = selection.identity
        self.runs = RunTree(
            uri, "bequest/task-selection", identity["key"], "selection", "source", "bequest.place"
        )
        note = (
            f"choose training tasks among {len(identity['contexts'])} contexts "
            f"({', '.join(identity['dimensions'])}): selector {identity['selector']}, "
            f"seed {identity['seed']}"
        )
        self.runs.open_parent(
            selection.name,
            {"bequest.version": identity["version"], "mlflow.note.content": note},
            {
                **{name: identity[name] for name in ("selector", "seed")},
                "contexts": len(identity["contexts"]),
            },
            {"selection.json": identity},
        )

    def write(self) -> int:
        """See `tracker.Runs`."""
        new = [
            (number, source)
            for number, source in enumerate(self.selection.sources)
            if number not in self.runs.written
        ]
        for number, source in new:
            self.runs.write_child(self._child(number, source))
            if np.isfinite(source.value):
                finished = datetime.fromtimestamp(source.finished)
                self.runs.write_points([Point("V", source.value, finished, number + 1)])
        return len(new)

    def _child(self, number: int, source: Source) -> Child:
        """A source as MLflow shows it."""
        finished = datetime.fromtimestamp(source.finished)
        context = self.selection.contexts[source.index]
        names = accepted_names(["context", *self.selection.dimensions])
        numbers = [str(source.index), *(f"{value:g}" for value in context)]
        values = {
            "V": source.value,
            "expected_gain": source.expected_gain,
            "seconds": source.seconds,
            "own_return": source.row[source.index],
        }
        if source.error is None:
            values["mean_return"] = float(np.nanmean(source.row))
        return Child(
            number=number,
            name=f"source {number}: context {source.index}",
            status="FINISHED" if source.error is None else "FAILED",
            started=finished - timedelta(seconds=source.seconds),
            finished=finished,
            params=dict(zip(names, numbers, strict=True)),
            points=[Point(k, float(v), finished) for k, v in values.items() if np.isfinite(v)],
            error=source.error,
        )

    def finish(self, status: str) -> None:
        """See `tracker.Runs`."""
        from .figures import selection_figures

        if self.selection.selector.trained:
            figures = selection_figures(self.selection)
            self.runs.log(
                documents={"chosen.json": summary(self.selection)},
                figures={f"plots/{name}": figure for name, figure in figures.items()},
            )
        self.runs.end(status)

    def link(self) -> str:
        """See `RunTree.link`."""
        return self.runs.link()


def summary(selection: SelectionSummary) -> dict[str, Any]:
    """The chosen sources with their contexts and the contexts that they serve, as plain values."""
    assignment = selection.assignment
    sources = [
        {
            "context": int(source.index),
            "place": selection.contexts[source.index].tolist(),
            "V": _finite(source.value),
            "expected_gain": _finite(source.expected_gain),
            "serves": int((assignment == source.index).sum()),
            "seconds": round(source.seconds, 3),
            "error": source.error,
        }
        for source in selection.sources
    ]
    return {"selection": selection.name, "value": _finite(selection.value), "sources": sources}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
