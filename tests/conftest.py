"""What all tests share: a home of their own, and one migrated MLflow database to copy."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Tests that kill a study fork: the threads of a numerical library do not survive a fork.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty database on a server of its own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("needs Debian's postgresql")
    # Not pytest's own folder: its other sessions tidy that up while this server runs.
    with tempfile.TemporaryDirectory(prefix="bequest-postgresql-") as place:
        yield from _server(programs[-1], Path(place))


def _server(programs: Path, folder: Path) -> Iterator[str]:
    # The server refuses to run as root: root lends the folder to the package's user.
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        log = subprocess.DEVNULL
        subprocess.run(command, check=True, user=user, stdout=log, stderr=log, cwd="/")

    run("initdb", "--auth=trust", "--username=bequest")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
    yield f"postgresql+psycopg://bequest@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-m", "immediate", "stop")
