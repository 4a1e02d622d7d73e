"""Who runs a trial: told apart by host, boot and, in containers, by who counts the processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from bequest.search.execution.ownership import (
    is_abandoned,
    is_dead,
    is_mine,
    is_ours,
    is_worker,
    owner,
)

NOBODY = 2**22 - 3
"""A process number that is not taken."""


def test_this_process_lives_and_is_known() -> None:
    me = owner()
    assert is_mine(me)
    assert is_ours(me)
    assert is_worker(me, os.getpid())
    assert is_dead(me) is False
    assert not is_abandoned(me)
    assert is_dead({**me, "pid": NOBODY}) is True


def test_owners_of_before_namespaces_are_still_understood() -> None:
    me = owner()
    before = {**me, "host": "/".join(me["host"].split("/")[:2])}
    assert is_mine(before)
    assert is_ours(before)
    assert is_dead(before) is False
    assert is_dead({**before, "pid": NOBODY}) is True


def test_another_host_cannot_be_told_about() -> None:
    away = {**owner(), "host": "elsewhere"}
    assert is_dead(away) is None
    assert not is_mine(away)
    assert not is_ours(away)
    assert not is_abandoned(away)


def test_a_container_of_this_hosts_name_is_another_host() -> None:
    """Its process numbers are others: ours may not be there, and are alive all the same."""
    space = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*space, "true"]).returncode != 0:
        pytest.skip("needs to be allowed to make a process namespace")
    code = (
        "import json, sys; from bequest.search.execution.ownership import is_dead, owner;"
        "print(json.dumps([owner(), is_dead(json.loads(sys.argv[1]))]))"
    )
    command = [*space, sys.executable, "-c", code, json.dumps(owner())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    there, dead = json.loads(done.stdout)
    assert dead is None
    assert is_dead(there) is None
    assert there["host"].split("/")[:2] == owner()["host"].split("/")[:2]
