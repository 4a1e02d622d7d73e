"""A joint search in MLflow, on the study's run: curves while it runs, findings in the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..mlflow_client import MAX_METRICS, MAX_TEXT
from ..trial import Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient

WRITTEN = "bequest.joint.epochs"


def write_progress(client: MlflowClient, run_id: str, found: dict[str, Any]) -> None:
    """Write the epochs of the once-for-all network that are not there yet.

    Args:
        client: MLflow's.
        run_id: The study's run.
        found: What `StudyRecord.joint` gives; empty where there is no joint search.
    """
    epochs = found.get("epochs", [])
    if not epochs:
        return
    from mlflow.entities import Metric

    written = int(client.get_run(run_id).data.tags.get(WRITTEN, 0))
    now = int(time.time() * 1000)
    points = [
        Metric(f"once_for_all/{name}", epoch[name], now, epoch["epoch"])
        for epoch in epochs[written:]
        for name in ("loss", "seconds")
    ]
    for start in range(0, len(points), MAX_METRICS):
        client.log_batch(run_id, points[start : start + MAX_METRICS])
    if points:
        client.set_tag(run_id, WRITTEN, epochs[-1]["epoch"])


def write_findings(
    client: MlflowClient, run_id: str, found: dict[str, Any], trials: Sequence[Trial]
) -> None:
    """Put the predictor's quality, the front, the networks and the pictures on the study's run."""
    if not found:
        return
    from .pictures import pictures

    for name, value in found.get("predictor", {}).items():
        if isinstance(value, float):
            client.log_metric(run_id, f"predictor/{name}", value)
    if "feasible" in found:
        client.log_metric(run_id, "evolution/feasible", found["feasible"])
        client.log_metric(run_id, "evolution/calls", found["calls"])
        chosen = [row for row in found["candidates"] if row["target"]]
        client.log_dict(run_id, {"networks": chosen}, "joint/chosen.json")
    client.set_tag(run_id, "bequest.joint.limits", ", ".join(found["limits"])[:MAX_TEXT])
    client.log_dict(run_id, found, "joint/search.json")
    for name, figure in pictures(found, trials).items():
        client.log_figure(run_id, figure, f"joint/{name}.png")
