"""An evaluator around a user's plain function: the door for everything else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..spaces import Config, Space
from .task import Outcome, Report


@dataclass(frozen=True)
class FunctionTask:
    """The task behind a plain function: a name, a metric, a direction."""

    name: str
    metric: str = "value"
    direction: str = "maximize"

    def describe(self) -> dict[str, Any]:
        return {"kind": "function", "metric": self.metric, "direction": self.direction}


class FunctionEvaluator:
    """Measures a configuration by calling ``function(config)``.

    Where the function has parameters named ``seed`` or ``report``, they are passed: the evaluation
    seed, and the callable that takes (step, value) of a learning curve and may end the training.

    Args:
        function: Returns the objective as a number, or an `Outcome`.
        space: What can be chosen.
        task: Name, metric and direction.
    """

    def __init__(self, function: Callable[..., Any], space: Space, task: FunctionTask) -> None:
        self.function = function
        self.space = space
        self.task = task
        names = inspect.signature(function).parameters
        self._wants = [name for name in ("seed", "report") if name in names]

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        offered = {"seed": seed, "report": report or (lambda step, value: None)}
        result = self.function(dict(config), **{name: offered[name] for name in self._wants})
        return result  # type: ignore[no-any-return]  # the worker checks what users return
