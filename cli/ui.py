"""``bequest ui``: MLflow's pages on the Bequest home."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..common.errors import StudyError


def ui(
    port: Annotated[int, typer.Option(help="The port to serve on.")] = 5000,
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
) -> None:
    """Open MLflow's pages on the Bequest home (or on MLFLOW_TRACKING_URI)."""
    import subprocess

    from ..search.tracking.tracker import tracking_uri

    uri = tracking_uri()
    if uri.startswith("http"):
        typer.echo(f"MLflow is served at {uri}")
        return
    typer.echo(f"serving {uri} at http://{host}:{port} (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    code = subprocess.call([*command, "--host", host, "--port", str(port)])
    if code not in (0, 130, -2):
        raise StudyError(
            f"MLflow's server ended with code {code}: is port {port} taken? try --port"
        )
