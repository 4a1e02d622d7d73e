"""Which process runs a trial, and whether it still lives."""

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
    """This host with its process namespace.

    Containers on a host may share its name, but a process number is another process in each.
    """
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return _machine()
    return f"{_machine()}/{space}"


@cache
def _machine() -> str:
    """This host by name and boot, as owners stored it before namespaces were part of it."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
    except OSError:
        boot = str(int(psutil.boot_time()))
    return f"{socket.gethostname()}/{boot}"


def owner() -> dict[str, Any]:
    """This process: host (with its boot), process number, start time, and its parent.

    ``parent`` is there in worker processes only: while it lives, a dead worker has crashed; if both
    are dead, the whole run was stopped.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    identity = {"host": _host(), **_identity(os.getpid())}
    return {**identity, "parent": json.loads(parent)} if parent else identity


@cache
def _identity(pid: int) -> dict[str, Any]:
    return {"pid": pid, "started": round(psutil.Process(pid).create_time(), 2)}


def parent_variable() -> dict[str, str]:
    """The environment that tells a worker process its parent."""
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
    """Whether a trial was run by this process or a worker of it, or has no owner."""
    mine = _identity(os.getpid())
    process = {k: owner.get(k) for k in mine}
    return not owner or (_is_here(owner) and mine in (process, owner.get("parent")))


def is_abandoned(owner: Mapping[str, Any]) -> bool:
    """Whether the run that a trial belongs to was on this host and is over."""
    return _is_here(owner) and _is_gone(owner.get("parent", owner))


def is_dead(owner: Mapping[str, Any]) -> bool | None:
    """Whether a trial's owner is dead; ``None`` if it is on another host."""
    return _is_gone(owner) if _is_here(owner) else None


def is_orphan(owner: Mapping[str, Any]) -> bool:
    """Whether a dead owner of this host has no living parent that would notice."""
    return "parent" not in owner or _is_gone(owner["parent"])


def _is_gone(identity: Mapping[str, Any]) -> bool:
    try:
        process = psutil.Process(identity["pid"])
        # Numbers are reused: the same number with another start time is another process.
        same = abs(process.create_time() - identity["started"]) < 1.0
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
