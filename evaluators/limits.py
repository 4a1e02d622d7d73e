"""Limits on what a model may cost, as people write them: ``latency=2.0ms``, ``memory=1.5GB``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..common.errors import StudyError, unknown_name

UNITS = {
    "ms": ("ms", 1.0),
    "us": ("ms", 1e-3),
    "s": ("ms", 1e3),
    "mJ": ("mJ", 1.0),
    "uJ": ("mJ", 1e-3),
    "J": ("mJ", 1e3),
    "B": ("B", 1.0),
    "kB": ("B", 1e3),
    "KB": ("B", 1e3),
    "MB": ("B", 1e6),
    "GB": ("B", 1e9),
    "KiB": ("B", 2.0**10),
    "MiB": ("B", 2.0**20),
    "GiB": ("B", 2.0**30),
    "k": ("", 1e3),
    "K": ("", 1e3),
    "M": ("", 1e6),
    "G": ("", 1e9),
    "": ("", 1.0),
}
"""What each unit measures in, and how much of that it is: ms, mJ, bytes, or a plain number."""

_FORM = re.compile(r"([A-Za-z_]\w*)=([-+\d.eE]+?)\s*([A-Za-z]*)")


@dataclass(frozen=True)
class Limit:
    """The most that something may cost.

    Attributes:
        name: What is limited, for example ``latency``.
        value: In ``unit``; finite and positive.
        unit: ``ms``, ``mJ``, ``B``, or empty for a plain number.
    """

    name: str
    value: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.name}={self.value:.6g}{self.unit}"


def parse_limit(text: str) -> Limit:
    """A limit as the command line takes it.

    Args:
        text: ``NAME=VALUE`` with one of `UNITS` behind the value, for example ``latency=2.0ms``.

    Raises:
        StudyError: It is not of that form, or the value is not positive.
        UnknownNameError: There is no such unit.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise StudyError(f"limit {text!r} is not NAME=VALUE: write, say, latency=2.0ms")
    name, number, unit = match.groups()
    if unit not in UNITS:
        raise unknown_name("unit", unit, [u for u in UNITS if u])
    base, factor = UNITS[unit]
    try:
        value = float(number) * factor
    except ValueError:
        raise StudyError(f"limit {text!r} has no number behind '=': write {name}=2.0") from None
    if not (math.isfinite(value) and value > 0):
        raise StudyError(f"limit {text!r} leaves nothing: give a number above 0")
    return Limit(name, value, base)


def check_limits(limits: Iterable[Limit], known: dict[str, str]) -> None:
    """Check that each limit names a cost and is in its unit.

    Args:
        limits: What was asked for.
        known: The unit of each cost there is, by name.

    Raises:
        UnknownNameError: There is no cost of that name.
        StudyError: The unit measures something else.
    """
    for limit in limits:
        if limit.name not in known:
            raise unknown_name("cost to limit", limit.name, known)
        if limit.unit not in ("", known[limit.name]):
            raise StudyError(
                f"limit {str(limit)!r} is in {limit.unit}, but {limit.name} is in "
                f"{known[limit.name] or 'no unit'}: write {limit.name}=2{known[limit.name]}"
            )
