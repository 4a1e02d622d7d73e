"""A search in MLflow: a parent run for the search, a child run for each step of it.

Every write can be repeated without doubling anything: runs are found by their tags, and points of a
curve carry the step's own times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .mlflow_client import (
    MAX_METRICS,
    MAX_PARAMS,
    MAX_TEXT,
    connect,
    experiment,
    link_to,
    milliseconds,
)


@dataclass(frozen=True)
class Point:
    """One value of a metric.

    Attributes:
        name: Accepted by MLflow (see `accepted_names`).
        value: Finite.
        time: When it was measured; now by default.
        step: Of its curve.
    """

    name: str
    value: float
    time: datetime | None = None
    step: int = 0


@dataclass(frozen=True)
class Child:
    """One step of a search, as MLflow shows it.

    Attributes:
        number: The step's; no other step has it.
        name: For people.
        status: MLflow's: ``FINISHED``, ``FAILED`` or ``KILLED``.
        started, finished: When.
        params: By accepted names.
        points: Of its metrics.
        tags: By name.
        error: Why it failed.
    """

    number: int
    name: str
    status: str
    started: datetime | None
    finished: datetime | None
    params: Mapping[str, str]
    points: Sequence[Point]
    tags: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


class RunTree:
    """The MLflow runs of one search.

    Args:
        uri: MLflow's tracking URI.
        experiment_name: Where the runs are.
        key: A name that no other search has.
        kind: ``study``, say: in the tag that holds the key, and the parent's role.
        child_kind: The children's role.
        number_tag: The tag that holds a child's number.

    Attributes:
        client: MLflow's.
        written: The numbers of the children that are complete.

    Raises:
        Exception: Whatever MLflow raises if it cannot be reached.
    """

    def __init__(
        self, uri: str, experiment_name: str, key: str, kind: str, child_kind: str, number_tag: str
    ) -> None:
        self.uri = uri
        self.client = connect(uri)
        self.experiment_id = experiment(self.client, uri, experiment_name)
        self.written: set[int] = set()
        self._key_tag = {f"bequest.{kind}": key}
        self._kind, self._child_kind, self._number_tag = kind, child_kind, number_tag
        self._unfinished: dict[int, str] = {}
        self._rule = f"tags.`bequest.{kind}` = '{key}' and tags.`bequest.role` = "
        self.parent_id = ""

    def open_parent(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        documents: Mapping[str, Any],
    ) -> bool:
        """Find the parent run, or create it; then find its children.

        Args:
            name: Of a new run.
            tags, params: Of a new run, by name.
            documents: JSON values of a new run, by path.

        Returns:
            Whether it is new.
        """
        rule = f"{self._rule}'{self._kind}'"
        runs = self.client.search_runs([self.experiment_id], rule, max_results=1)
        if runs:
            self.parent_id = str(runs[0].info.run_id)
            self.client.update_run(self.parent_id, status="RUNNING")
        else:
            whole = {**self._key_tag, "bequest.role": self._kind, **tags}
            run = self.client.create_run(self.experiment_id, run_name=name, tags=whole)
            self.parent_id = str(run.info.run_id)
            for param, value in params.items():
                self.client.log_param(self.parent_id, param, value)
            for path, document in documents.items():
                self.client.log_dict(self.parent_id, document, path)
        self.find_children()
        return not runs

    def find_children(self) -> None:
        """Read which children are there; an interrupted one is to be written again."""
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], f"{self._rule}'{self._child_kind}'", page_token=token
            )
            for run in page:
                number = int(run.data.tags[self._number_tag])
                if run.info.status == "RUNNING":
                    self._unfinished[number] = run.info.run_id
                else:
                    self.written.add(number)
            token = page.token
            if not token:
                return

    def write_child(self, child: Child) -> None:
        """Write a child whole."""
        from mlflow.entities import Param

        run_id = self._unfinished.pop(child.number, None) or self._create_child(child)
        metrics = _metrics(child.points)
        params = [Param(name, value[:MAX_TEXT]) for name, value in child.params.items()]
        # One batch is the common case; a server refuses larger ones.
        batches = max(1, -(-len(metrics) // MAX_METRICS), -(-len(params) // MAX_PARAMS))
        for i in range(batches):
            self.client.log_batch(
                run_id,
                metrics[i * MAX_METRICS : (i + 1) * MAX_METRICS],
                params[i * MAX_PARAMS : (i + 1) * MAX_PARAMS],
            )
        self.client.set_terminated(run_id, child.status, milliseconds(child.finished))
        self.written.add(child.number)

    def _create_child(self, child: Child) -> str:
        tags = {
            "mlflow.parentRunId": self.parent_id,
            **self._key_tag,
            "bequest.role": self._child_kind,
            self._number_tag: str(child.number),
            **child.tags,
        }
        if child.error is not None:
            tags["bequest.error"] = tags["mlflow.note.content"] = child.error[:MAX_TEXT]
        run = self.client.create_run(
            self.experiment_id, milliseconds(child.started), tags, child.name
        )
        return str(run.info.run_id)

    # The parent -----------------------------------------------------------------------------------

    def write_points(self, points: Iterable[Point]) -> None:
        """Write points of the parent's metrics."""
        metrics = _metrics(points)
        for start in range(0, len(metrics), MAX_METRICS):
            self.client.log_batch(self.parent_id, metrics[start : start + MAX_METRICS])

    def write_epochs(
        self,
        tag: str,
        epochs: Sequence[Mapping[str, Any]],
        curves: Callable[[Mapping[str, Any]], Mapping[str, float]],
    ) -> None:
        """Write the curves of epochs that are not there yet.

        Args:
            tag: Holds how many there are, so that a repeated write doubles nothing.
            epochs: Each has its number as ``epoch``, from 1.
            curves: The figures of an epoch by the names of their curves.
        """
        if not epochs:
            return
        written = int(self.client.get_run(self.parent_id).data.tags.get(tag, 0))
        now = datetime.fromtimestamp(time.time())
        for epoch in epochs[written:]:
            number = epoch["epoch"]
            self.write_points(Point(n, v, now, number) for n, v in curves(epoch).items())
            self.client.set_tag(self.parent_id, tag, number)

    def log(
        self,
        *,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, object] | None = None,
        documents: Mapping[str, Any] | None = None,
        figures: Mapping[str, Any] | None = None,
    ) -> None:
        """Put results on the parent.

        Args:
            metrics, tags: By name.
            documents: JSON values by path.
            figures: Matplotlib figures by path, without an ending.
        """
        for name, value in (metrics or {}).items():
            self.client.log_metric(self.parent_id, name, value)
        for name, tag in (tags or {}).items():
            self.client.set_tag(self.parent_id, name, str(tag)[:MAX_TEXT])
        for path, document in (documents or {}).items():
            self.client.log_dict(self.parent_id, document, path)
        for path, figure in (figures or {}).items():
            self.client.log_figure(self.parent_id, figure, f"{path}.png")

    def end(self, status: str) -> None:
        """End the parent run."""
        self.client.set_terminated(self.parent_id, status)

    def link(self) -> str:
        """The parent run's page; on a local database, as ``bequest ui`` serves it."""
        return link_to(self.uri, self.experiment_id, self.parent_id)


def _metrics(points: Iterable[Point]) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(p.name, p.value, milliseconds(p.time), p.step) for p in points]
