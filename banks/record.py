"""The contents of a bank: tasks, and one record for each evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common.errors import unknown_name
from ..spaces import Config, Space

DIRECTIONS = ("maximize", "minimize")

FULL = 1.0
"""The fidelity of a whole training."""


@dataclass(frozen=True)
class BankTask:
    """A task of a bank.

    Attributes:
        name: What it is called; a bank holds one task of a name.
        metric, direction: What is measured, and whether ``"maximize"`` or ``"minimize"``.
        kind: ``"node classification"``, ``"table"``, ...; empty where nobody said.
        facts: Plain facts (sizes, split), as the task describes itself.

    Raises:
        UnknownNameError: The direction is another word.
    """

    name: str
    metric: str
    direction: str = "maximize"
    kind: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise unknown_name("direction", self.direction, DIRECTIONS)


@dataclass(frozen=True)
class Record:
    """One evaluation of one configuration.

    Attributes:
        config: What was evaluated.
        value: The objective, in the task's own direction; ``None`` where it failed.
        metrics: What else was measured, by name.
        seed: The evaluation seed (split and initialisation).
        fidelity: Which share of a whole training it was, in (0, 1].
        seconds: What it cost, in CPU seconds; NaN where nobody measured it.
        curve: The learning curve: validation metric by epoch.
        error: Why it failed.
        source: Where it comes from: a study, a table, ``bundled``.
        origin: The task for which the configuration was searched, where there is one: without
            that task this configuration is left out, too.
    """

    config: Config
    value: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    fidelity: float = FULL
    seconds: float = float("nan")
    curve: dict[int, float] = field(default_factory=dict)
    error: str | None = None
    source: str = ""
    origin: str = ""


def name_under(task: str, conditions: Mapping[str, Any]) -> str:
    """A task's name in a bank: under other conditions than the default ones it is another task.

    Example:
        >>> name_under("trec6", {"epochs": 5})
        'trec6 (epochs 5)'
    """
    said = ", ".join(f"{name} {value}" for name, value in conditions.items())
    return f"{task} ({said})" if said else task


def task_of(
    name: str,
    metric: str,
    direction: str,
    facts: Mapping[str, Any],
    conditions: Mapping[str, Any],
) -> BankTask:
    """A task as it is measured under some conditions; its facts say which, and whose they are.

    Args:
        name, metric, direction: The task's own.
        facts: As the task describes itself.
        conditions: What is not as usual.
    """
    more = {"task": name, "conditions": dict(conditions)} if conditions else {}
    facts = {**facts, **more}
    kind = str(facts.get("kind", ""))
    return BankTask(name_under(name, conditions), metric, direction, kind, facts)


def design_key(space: Space, config: Config) -> str:
    """A name for one configuration of one space; equal models of a space share it."""
    return _digest([space.hash, space.canonical(config)])


def record_key(task: str, design: str, seed: int, fidelity: float) -> str:
    """A name for one evaluation: the same evaluation twice is one record."""
    return _digest([task, design, seed, fidelity])


def superseded_key(key: str) -> str:
    """The name of a failed evaluation whose own, ``key``, has gone to a later value."""
    return _digest([key, "superseded"])


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
