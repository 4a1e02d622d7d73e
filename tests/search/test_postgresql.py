"""The same study store on a real PostgreSQL server, which the tests start themselves."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bequest.search.study import Study

MakeStudy = Callable[..., Study]
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database on a server of its own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("needs Debian's postgresql")
    folder = tmp_path_factory.mktemp("postgresql")
    # The server refuses to run as root: root lends the folder to the package's user.
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    if os.geteuid() == 0:
        shutil.chown(folder, user)
        for parent in list(folder.parents)[:3]:
            parent.chmod(parent.stat().st_mode | 0o011)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [str(programs[-1] / program), "-D", str(folder / "data"), *arguments]
        log = subprocess.DEVNULL
        subprocess.run(command, check=True, user=user, stdout=log, stderr=log, cwd="/")

    run("initdb", "--auth=trust", "--username=bequest")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
    yield f"postgresql+psycopg://bequest@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-m", "immediate", "stop")


def _train(config: dict[str, Any]) -> float:
    time.sleep(0.02)
    return -abs(float(config["x"]))


def test_two_controllers_share_one_study(make_study: MakeStudy, postgresql: str) -> None:
    """As on two machines: the same script, started twice."""
    options = {"storage": postgresql, "name": "shared"}

    def run() -> None:
        make_study(_train, **options).run(trials=24, progress=False)

    others = [FORK.Process(target=run) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    study = make_study(_train, **options)
    assert [t.slot for t in study.trials] == list(range(24))
    assert {t.state for t in study.trials} == {"complete"}
    alone = make_study(_train).run(trials=24, progress=False)
    assert [t.config for t in study.trials] == [t.config for t in alone.trials]
    pids = {
        t.system_attrs["bequest:owner"]["pid"]
        for t in study.optuna_study.all_trials()
        if "bequest:lost" not in t.system_attrs
    }
    assert len(pids) > 1


def test_a_kill_and_a_resume(make_study: MakeStudy, postgresql: str) -> None:
    options = {"storage": postgresql, "name": "killed", "sampler": "tpe"}

    def run(kill_in_slot: int | None) -> None:
        calls = 0

        def train(config: dict[str, Any]) -> float:
            nonlocal calls
            calls += 1
            if calls == kill_in_slot:
                os.kill(os.getpid(), signal.SIGKILL)
            return _train(config)

        make_study(train, **options).run(trials=15, progress=False)

    for kill in (3, 4, None):
        process = FORK.Process(target=run, args=(kill,))
        process.start()
        process.join()
    resumed = make_study(_train, **options).trials
    whole = make_study(_train, sampler="tpe", name="killed").run(trials=15, progress=False).trials
    assert [(t.slot, t.config, t.value) for t in resumed] == [
        (t.slot, t.config, t.value) for t in whole
    ]
