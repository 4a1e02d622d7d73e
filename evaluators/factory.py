"""The evaluator that fits a task and a space: each evaluator is registered by one line here.

What an evaluator serves, and which options it takes, is said by its `EvaluatorSpec` beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import SpaceError
from ..common.registry import register, resolve
from ..spaces.named import make_space
from .limits import Limit, parse_limit
from .task import Evaluator, Task

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class EvaluatorOptions:
    """What people may ask of an evaluator beside task and space; ``None`` for the usual.

    Attributes:
        epochs: Of each training.
        images: Training and validation images together; 0 for all.
        size: Height and width to which images are averaged down; 0 for as they are.
        examples: Training examples of a fine-tuning; 0 for all.
        backbone: A name on the hub, a folder, or a module.
        limits: The most that a configuration may cost: as text (``memory=64MiB``) or `Limit`.
        cost_table: A file with the costs of layers, as ``bequest cost-table`` writes it.

    Raises:
        StudyError: A limit is not understood.
        UnknownNameError: A limit has an unknown unit.
    """

    epochs: int | None = None
    images: int | None = None
    size: int | None = None
    examples: int | None = None
    backbone: str | nn.Module | None = None
    limits: Iterable[Limit | str] = ()
    cost_table: str | Path | None = None

    def __post_init__(self) -> None:
        parsed = tuple(parse_limit(x) if isinstance(x, str) else x for x in self.limits)
        object.__setattr__(self, "limits", parsed)

    @property
    def parsed_limits(self) -> tuple[Limit, ...]:
        """The limits, none of them as text any more."""
        return tuple(limit for limit in self.limits if isinstance(limit, Limit))

    @property
    def given(self) -> list[str]:
        """The names of the options that are not as usual."""
        return [f.name for f in fields(self) if getattr(self, f.name) not in (None, ())]


@dataclass(frozen=True)
class EvaluatorSpec:
    """What an evaluator serves.

    Attributes:
        kinds: The kinds of task, as the tasks' ``kind`` says them.
        spaces: The names of the spaces. A kind's default is the first space of the evaluator that
            was registered first.
        make: Makes the evaluator of (task, space's name, options); only options that it takes are
            set.
        options: The names of the fields of `EvaluatorOptions` that it takes.
        refusals: Why others are refused, by their names: one sentence with the remedy, in which
            ``{task}`` and ``{space}`` stand for their names.
    """

    kinds: tuple[str, ...]
    spaces: tuple[str, ...]
    make: Callable[[Any, str, EvaluatorOptions], Evaluator]
    options: frozenset[str] = frozenset()
    refusals: Mapping[str, str] = field(default_factory=dict)


EVALUATORS: dict[str, str | EvaluatorSpec] = {
    "graph": ".graph.spec:NETWORKS",
    "graph-cells": ".graph.spec:CELLS",
    "image": ".image.spec:CELLS",
    "once-for-all": ".once_for_all.spec:ONCE_FOR_ALL",
    "image-tuning": ".image.spec:TUNING",
    "text": ".text.spec:TUNING",
}
"""Specs by name, in the order in which people are told of their spaces; ``.module:NAME`` below this
package."""


def register_evaluator(name: str, spec: EvaluatorSpec) -> None:
    """Register an evaluator; ``del EVALUATORS[name]`` takes it out again.

    Args:
        name: Of the evaluator.
        spec: Its ``spaces`` are known by name, see `bequest.spaces.named.register_space`.

    Raises:
        BequestError: The name is taken.
    """
    register(EVALUATORS, "evaluator", name, spec)


def make_evaluator(
    task: Task, space: str | None = None, options: EvaluatorOptions | None = None
) -> Evaluator:
    """What measures configurations of a space on a task.

    Args:
        task: As `load_task` gives it.
        space: The space's name; by default the usual one for the task.
        options: What is asked beside; an option that the evaluator does not take is refused.

    Raises:
        UnknownNameError: There is no such space.
        SpaceError: It does not fit the task, or an option means nothing there.

    Example:
        >>> from bequest import load_task
        >>> evaluator = make_evaluator(load_task("digits"), options=EvaluatorOptions(epochs=2))
        >>> evaluator.space
        Space('nas-bench-201', 6 parameters)
    """
    options = options or EvaluatorOptions()
    name, spec = _chosen(task, space)
    for option in options.given:
        if option not in spec.options:
            raise SpaceError(_refusal(task, name, spec, option))
    return spec.make(task, name, options)


def takes(task: Task, space: str | None, option: str) -> bool:
    """Whether the evaluator of a task and a space takes an option.

    Args:
        task, space: As for `make_evaluator`.
        option: The name of a field of `EvaluatorOptions`.

    Raises:
        UnknownNameError: There is no such space.
        SpaceError: It does not fit the task.
    """
    return option in _chosen(task, space)[1].options


def _chosen(task: Task, space: str | None) -> tuple[str, EvaluatorSpec]:
    """The space's name, and the spec that serves it."""
    serving = _serving(task)
    if space is None:
        return next(iter(serving.items()))
    make_space(space)  # an unknown name has an error of its own
    if space not in serving:
        raise SpaceError(
            f"space {space!r} does not fit {_kind(task)} ({task.name!r}): use "
            f"{' or '.join(serving)}"
        )
    return space, serving[space]


def _serving(task: Task) -> dict[str, EvaluatorSpec]:
    """The specs that serve a task by the names of their spaces, the default first."""
    serving: dict[str, EvaluatorSpec] = {}
    for entry in EVALUATORS.values():
        spec: EvaluatorSpec = resolve(entry, __package__)
        if _kind(task) in spec.kinds:
            serving |= dict.fromkeys(spec.spaces, spec)
    if not serving:
        raise SpaceError(
            f"task {task.name!r} ({_kind(task)}) has no evaluator: register one with "
            "register_evaluator, or build it and give it to Study"
        )
    return serving


def _kind(task: Task) -> str:
    return str(getattr(task, "kind", type(task).__name__))


_REFUSALS = {
    "backbone": "has no backbone",
    "cost_table": "has no table of costs",
    "limits": "keeps no limits",
}


def _refusal(task: Task, space: str, spec: EvaluatorSpec, option: str) -> str:
    if option in spec.refusals:
        return spec.refusals[option].format(task=task.name, space=space)
    taking = [name for name, other in _serving(task).items() if option in other.options]
    remedy = f", or search space {' or '.join(map(repr, taking))}" if taking else ""
    refused = _REFUSALS.get(option, f"takes no --{option}")
    return f"space {space!r} {refused}: leave it out{remedy}"
