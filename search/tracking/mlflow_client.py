"""How Bequest speaks to MLflow: a client of an own database or a server, experiments, limits."""

from __future__ import annotations

import posixpath
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from sqlalchemy import make_url

from ...common.databases import use_write_ahead_log
from ...common.home import home
from ...common.mlflow_client import client_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_PARAMS, MAX_METRICS, MAX_TEXT, MAX_NAME = 100, 900, 6000, 240
"""What an MLflow server takes in one batch (1,000 of both together), in one value (longer ones are
cut silently), and in a name."""


def connect(uri: str) -> MlflowClient:
    """A client of a tracking URI; a new local database is made by one process alone."""
    # Two processes that migrate one new database at once would break it.
    with _lock():
        client = client_of(uri)
        if uri.startswith("sqlite"):
            _write_ahead(uri)
        return client


def experiment(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment of that name; made where there is none."""
    with _lock():
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # Without a server, MLflow would put artifacts below the current folder.
        place = (home() / "artifacts" / "mlflow").as_uri() if uri.startswith("sqlite") else None
        # Without its kind, MLflow's pages open the experiment as one on language models.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, artifact_location=place, tags=kind))


def link_to(uri: str, experiment_id: str, run_id: str) -> str:
    """A run's page; on a local database, as ``bequest ui`` serves it."""
    base = uri if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def accepted_names(names: Iterable[str]) -> list[str]:
    """What parameters and metrics are called in MLflow, which takes few characters.

    Other characters become ``_``; two names stay two, the first one as it is.
    """
    found: list[str] = []
    for name in names:
        known = re.sub(r"[^\w./\- :]", "_", name)[:MAX_NAME]
        if known != posixpath.normpath(known) or known.startswith((".", "/")):
            known = re.sub(r"^\.+|/", "_", known) or "_"
        while known in found:
            known += "_"
        found.append(known)
    return found


def _write_ahead(uri: str) -> None:
    """Let the database be read while it is written (MLflow's pages beside a search); it also
    commits faster. The setting stays with the file."""
    path = make_url(uri).database
    if path and path != ":memory:":
        with closing(sqlite3.connect(path)) as connection:
            use_write_ahead_log(connection)


def _lock() -> FileLock:
    return FileLock(home() / "mlflow.lock")


def milliseconds(moment: datetime | None) -> int:
    """MLflow's time; now, where there is none."""
    return int((moment.timestamp() if moment else time.time()) * 1000)


def write_epochs(
    client: MlflowClient,
    run_id: str,
    tag: str,
    epochs: Sequence[Mapping[str, Any]],
    values: Callable[[Mapping[str, Any]], Mapping[str, float]],
) -> None:
    """Write the curves of epochs that are not there yet; a tag says how many are.

    Args:
        client: MLflow's.
        run_id: The run.
        tag: Where the number of epochs is kept, so that a replay doubles nothing.
        epochs: Each has its number as ``epoch``, from 1.
        values: The figures of an epoch by the names of their curves.
    """
    if not epochs:
        return
    from mlflow.entities import Metric

    written = int(client.get_run(run_id).data.tags.get(tag, 0))
    now = int(time.time() * 1000)
    for epoch in epochs[written:]:
        points = [Metric(name, v, now, epoch["epoch"]) for name, v in values(epoch).items()]
        for start in range(0, len(points), MAX_METRICS):
            client.log_batch(run_id, points[start : start + MAX_METRICS])
        client.set_tag(run_id, tag, epoch["epoch"])
