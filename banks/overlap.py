"""Carrying configurations from one space to another that shares part of its parameters."""

from __future__ import annotations

from ..common.errors import ConfigurationError
from ..spaces import Config, Space

SHARED = 0.5
"""A space with less than this share of the target's parameters is not carried over."""


class Overlap:
    """Reads the configurations of one space as those of another.

    A parameter that both have keeps its value, and a configuration whose value the target does not
    allow is left behind; parameters with one name or alias (`Parameter.choice`) are the same. A
    parameter that only the source has is dropped (what it decided, the target does not have). A
    parameter that only the target has takes the value of the target's default configuration.

    Args:
        source: Where configurations come from.
        target: Where they go.

    Attributes:
        refused: Why nothing can be carried over; ``None`` where something can.
        dropped, filled: Names of the parameters that only one of the two has.
    """

    def __init__(self, source: Space, target: Space) -> None:
        self.source = source
        self.target = target
        self.same = source.hash == target.hash
        source_names = {p.choice: p.name for p in source.parameters}
        shared = source_names.keys() & {p.choice for p in target.parameters}
        self.dropped = sorted(name for choice, name in source_names.items() if choice not in shared)
        self.filled = [p.name for p in target.parameters if p.choice not in shared]
        self.refused = self._refusal(len(target.parameters))

    def _refusal(self, wanted: int) -> str | None:
        if self.same:
            return None
        if not wanted or 1 - len(self.filled) / wanted < SHARED:
            return (
                f"space {self.source.name!r} has {wanted - len(self.filled)} of the {wanted} "
                f"parameters of {self.target.name!r}"
            )
        default = self.target.default or {}
        unknown = [
            p.name
            for p in self.target.parameters
            if p.name in self.filled and p.condition is None and p.name not in default
        ]
        if unknown:
            return (
                f"space {self.source.name!r} lacks {', '.join(unknown)}, and "
                f"{self.target.name!r} has no default for it"
            )
        return None

    def carry(self, config: Config) -> Config | None:
        """The configuration as the target has it; ``None`` where a value is not allowed there."""
        if self.same:
            return config
        values = self.target.by_choice(self.target.default or {}) | self.source.by_choice(config)
        carried: Config = {}
        for p in self.target.parameters:
            if self.target.is_active(p, carried):
                if p.choice not in values:
                    return None
                carried[p.name] = values[p.choice]
        try:
            return self.target.validate(carried)
        except ConfigurationError:
            return None

    def __repr__(self) -> str:
        if self.refused is not None:
            return f"refused: {self.refused}"
        if self.same:
            return f"{self.source.name}: the same space"
        parts = [f"{self.source.name} to {self.target.name}"]
        parts += [f"without {', '.join(self.dropped)}"] if self.dropped else []
        parts += [f"{', '.join(self.filled)} as in the default"] if self.filled else []
        return "; ".join(parts)
