"""Who runs a trial, and whether that process still lives."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from functools import cache
from typing import Any

import psutil

PARENT_VARIABLE = "BEQUEST_PARENT"
"""The environment variable that tells a worker process who started it."""


def _host() -> str:
    """This host, and where its processes count apart (in a container), which of these counts.

    Containers may share one name: the same process number is another process in each.
    """
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return _machine()
    return f"{_machine()}/{space}"


@cache
def _machine() -> str:
    """What owners called their host before process namespaces were told apart."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
    except OSError:
        boot = str(int(psutil.boot_time()))
    return f"{socket.gethostname()}/{boot}"


def owner() -> dict[str, Any]:
    """This process: host (with its boot), process number, when it started, and who started it.

    ``parent`` is there in worker processes only: while the parent lives, a dead worker has crashed;
    where both are dead, the whole run was stopped.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    identity = {"host": _host(), **_identity(os.getpid())}
    return {**identity, "parent": json.loads(parent)} if parent else identity


@cache
def _identity(pid: int) -> dict[str, Any]:
    return {"pid": pid, "started": round(psutil.Process(pid).create_time(), 2)}


def parent_variable() -> dict[str, str]:
    """The environment that tells a worker process who started it."""
    return {PARENT_VARIABLE: json.dumps(_identity(os.getpid()))}


def _is_here(owner: Mapping[str, Any]) -> bool:
    return owner.get("host") in (_host(), _machine())


def is_worker(owner: Mapping[str, Any], pid: int) -> bool:
    """Whether a trial's owner is the process of that number on this host."""
    return _is_here(owner) and owner.get("pid") == pid


def is_mine(owner: Mapping[str, Any]) -> bool:
    """Whether a trial's owner is this very process."""
    return is_worker(owner, os.getpid()) and not _is_gone(owner)


def is_ours(owner: Mapping[str, Any]) -> bool:
    """Whether a trial was run by this process or a worker of it, or by nobody who said so."""
    mine = _identity(os.getpid())
    own = {k: owner.get(k) for k in mine}
    return not owner or (_is_here(owner) and mine in (own, owner.get("parent")))


def is_abandoned(owner: Mapping[str, Any]) -> bool:
    """Whether the run of this host to which a trial belongs is over."""
    return _is_here(owner) and _is_gone(owner.get("parent", owner))


def is_dead(owner: Mapping[str, Any]) -> bool | None:
    """Whether a trial's owner is dead; ``None`` where this host cannot tell."""
    return _is_gone(owner) if _is_here(owner) else None


def is_orphan(owner: Mapping[str, Any]) -> bool:
    """Whether nobody was left to notice that a dead owner of this host had died."""
    return "parent" not in owner or _is_gone(owner["parent"])


def _is_gone(identity: Mapping[str, Any]) -> bool:
    try:
        process = psutil.Process(identity["pid"])
        # Numbers are used again: the same number with another start is another process.
        same = abs(process.create_time() - identity["started"]) < 1.0
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
