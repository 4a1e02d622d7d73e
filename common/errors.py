"""Every error that Bequest raises on purpose, under one base.

A message is one sentence: it names the thing, the value and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BequestError(Exception):
    """Base of all errors that Bequest raises on purpose."""


class ConfigurationError(BequestError, ValueError):
    """A configuration is not a point of its space."""


class SpaceError(BequestError, ValueError):
    """A space is not well formed."""


class UnknownNameError(BequestError, LookupError):
    """A name (task, sampler, space, study) that is not known."""


class DataError(BequestError, ValueError):
    """A task's data is missing, unreadable or unfit for the task."""


class EvaluationError(BequestError, RuntimeError):
    """A configuration could not be trained or measured."""


class OverLimitError(EvaluationError):
    """A configuration was not trained, for it would cost more than a limit allows."""


class BankError(BequestError, RuntimeError):
    """A bank, or a file for one, cannot be read or written as asked."""


class StudyError(BequestError, RuntimeError):
    """A study cannot be run, resumed or read as asked."""


class ArchitectureError(BequestError, ValueError):
    """A backbone is not one that a fine-tuning method can work on."""


class MissingLibraryError(BequestError, ImportError):
    """An optional library is not installed."""


class SelectionError(BequestError, ValueError):
    """A choice of training tasks is asked or told something that makes no sense."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """An error for an unknown name, with the closest known one as the remedy.

    Args:
        kind: What is named, for example ``"task"``.
        name: What the user wrote.
        known: The names there are.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
    return UnknownNameError(f"unknown {kind} {name!r}: {remedy}")


def reason_of(error: BaseException) -> str:
    """The first line of what an error says; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
