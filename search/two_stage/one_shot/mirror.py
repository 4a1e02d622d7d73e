"""A relaxed search in MLflow: every epoch's figures as curves, what was found as pictures.

All is written on the study's parent run; a tag says how many epochs are there, so that a replay
doubles nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...tracking.mlflow_client import MAX_TEXT, write_epochs

if TYPE_CHECKING:
    from mlflow import MlflowClient

WRITTEN = "bequest.relaxed.epochs"
CURVES = ("train_loss", "validation_loss", "entropy", "eigenvalue", "seconds")


def write_progress(client: MlflowClient, run_id: str, found: dict[str, Any]) -> None:
    """Write the epochs that are not there yet.

    Args:
        client: MLflow's.
        run_id: The study's run.
        found: What `StudyRecord.relaxed` gives; empty where there is no relaxed search.
    """

    def values(epoch: Mapping[str, Any]) -> dict[str, float]:
        curves = {f"relaxed/{name}": epoch[name] for name in CURVES if epoch[name] is not None}
        for decision, alphas in epoch["alphas"].items():
            names = (f"alpha/{decision}/{option}" for option in found["options"][decision])
            curves |= dict(zip(names, alphas, strict=True))
        return curves

    write_epochs(client, run_id, WRITTEN, found.get("epochs", []), values)


def write_findings(client: MlflowClient, run_id: str, found: dict[str, Any]) -> None:
    """Put the whole record, the architectures and the pictures on the study's run."""
    if not found.get("epochs"):
        return
    from .figures import pictures

    client.log_dict(run_id, found, "relaxed/search.json")
    if "collapse" in found:
        client.set_tag(run_id, "bequest.relaxed.collapse", found["collapse"][:MAX_TEXT])
    for name, figure in pictures(found).items():
        client.log_figure(run_id, figure, f"relaxed/{name}.png")
