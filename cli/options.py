"""Options in groups: a command takes one dataclass a group, the command line each of its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer takes it: each field of its dataclass parameters is an option.

    Args:
        command: Its parameters are annotated with typer's options, or with dataclasses whose fields
            are, each with a default.
    """
    groups: dict[str, Any] = {}
    parameters: dict[str, inspect.Parameter] = {}
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            parameters |= _options(hints[name])
        else:
            parameters[name] = parameter.replace(annotation=hints[name])

    def run(**values: Any) -> None:
        arguments = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **arguments)

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__annotations__ = {name: p.annotation for name, p in parameters.items()}
    ordered = sorted(parameters.values(), key=lambda p: p.default is not inspect.Parameter.empty)
    run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    return run


def _options(group: Any) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {
        field.name: inspect.Parameter(
            field.name,
            keyword,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    }
