"""MLflow's client, experiments and limits, on a local database or a server."""

from __future__ import annotations

import posixpath
import re
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

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
        existing = client.get_experiment_by_name(name)
        if existing is not None:
            return str(existing.experiment_id)
        # Without a server, MLflow would put artifacts below the current folder.
        artifacts = (home() / "artifacts" / "mlflow").as_uri() if uri.startswith("sqlite") else None
        # Without its kind, MLflow's pages open the experiment as one on language models.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, artifact_location=artifacts, tags=kind))


def link_to(uri: str, experiment_id: str, run_id: str) -> str:
    """A run's page; on a local database, as ``bequest ui`` serves it."""
    base = uri if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def accepted_names(names: Iterable[str]) -> list[str]:
    """Names of parameters and metrics as MLflow accepts them.

    Characters that it refuses become ``_``; different names stay different.
    """
    accepted: list[str] = []
    for name in names:
        candidate = re.sub(r"[^\w./\- :]", "_", name)[:MAX_NAME]
        if candidate != posixpath.normpath(candidate) or candidate.startswith((".", "/")):
            candidate = re.sub(r"^\.+|/", "_", candidate) or "_"
        while candidate in accepted:
            candidate += "_"
        accepted.append(candidate)
    return accepted


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
