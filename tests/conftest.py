"""What all tests share: a home of their own, and one migrated MLflow database to copy."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated MLflow database: making one takes seconds, so all test processes share it."""
    name = f"bequest-mlflow-{version('mlflow')}"
    folder = tmp_path_factory.getbasetemp().parent / name
    folder.mkdir(exist_ok=True)
    template = folder / "mlflow.db"
    with FileLock(folder / "lock"):
        if not template.exists():
            from mlflow import MlflowClient

            making = folder / "making.db"
            MlflowClient(tracking_uri=f"sqlite:///{making}").search_experiments()
            making.rename(template)
    return template


@pytest.fixture(autouse=True)
def bequest_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a home of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("BEQUEST_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture
def mlflow_home(bequest_home: Path, mlflow_template: Path) -> Path:
    """A home whose MLflow database is there already."""
    shutil.copy(mlflow_template, bequest_home / "mlflow.db")
    return bequest_home


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real data, from ``BEQUEST_DATA``."""
    folder = os.environ.get("BEQUEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data: set BEQUEST_DATA to its folder")
    return Path(folder)
