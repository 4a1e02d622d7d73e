"""A joint search in MLflow, on the study's run: curves while it runs, findings in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...studies.trial import Trial
from ...tracking.mlflow_client import MAX_TEXT, write_epochs

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
    write_epochs(
        client,
        run_id,
        WRITTEN,
        found.get("epochs", []),
        lambda epoch: {f"once_for_all/{name}": epoch[name] for name in ("loss", "seconds")},
    )


def write_findings(
    client: MlflowClient, run_id: str, found: dict[str, Any], trials: Sequence[Trial]
) -> None:
    """Put the predictor's quality, the front, the networks and the pictures on the study's run."""
    if not found:
        return
    from .figures import pictures

    for name, value in found.get("predictor", {}).items():
        if isinstance(value, float):
            client.log_metric(run_id, f"predictor/{name}", value)
    if "feasible" in found:
        client.log_metric(run_id, "evolution/feasible", found["feasible"])
        client.log_metric(run_id, "evolution/calls", found["calls"])
        chosen = [row for row in found["candidates"] if row["targets"]]
        client.log_dict(run_id, {"networks": chosen}, "joint/chosen.json")
    client.set_tag(run_id, "bequest.joint.limits", ", ".join(found["limits"])[:MAX_TEXT])
    client.log_dict(run_id, found, "joint/search.json")
    for name, figure in pictures(found, trials).items():
        client.log_figure(run_id, figure, f"joint/{name}.png")
