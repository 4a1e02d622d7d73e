"""What a once-for-all search is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ....common.errors import ConfigurationError
from ....evaluators.limits import Limit, parse_limit
from .evolution import Evolving
from .predictor import Fitting

METHOD = "apq"
"""The name of the sampler."""


@dataclass(frozen=True)
class OnceForAllSettings:
    """A once-for-all search; the defaults fit one CPU core.

    Attributes:
        limits: What the networks may cost, also as text (see `parse_limit`); several of one name
            are several targets.
        floats: So many networks are measured as they are cut, in float32.
        quantised: So many are measured after fine-tuning with few bits.
        active: Of the latter, the share that the predictor chooses: networks near the front of
            which it is least sure.
        fitting: Of the predictor.
        evolving: Of the front.
        caution: So many spreads of the predictor are taken off what it says, lest the search feed
            on its errors.
        candidates: At most so many networks of the front may become trials.

    Raises:
        ConfigurationError: There are too few samples to learn from.
        StudyError: A limit is not of the form NAME=VALUE.
    """

    limits: tuple[Limit, ...] = ()
    floats: int = 400
    quantised: int = 60
    active: float = 0.5
    fitting: Fitting = field(default_factory=Fitting)
    evolving: Evolving = field(default_factory=lambda: Evolving(rounds=200))
    caution: float = 0.5
    candidates: int = 200

    def __post_init__(self) -> None:
        limits = tuple(parse_limit(x) if isinstance(x, str) else x for x in self.limits)
        object.__setattr__(self, "limits", limits)
        for name, least in (("floats", 20), ("quantised", 10), ("candidates", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(
                    f"a once-for-all search has {name} {getattr(self, name)}: give {least} at least"
                )
        if not 0 <= self.active <= 1:
            raise ConfigurationError(f"a share of active choices is {self.active}: give 0 to 1")
        if self.caution < 0:
            raise ConfigurationError(f"caution is {self.caution}: give 0 or more")

    def described(self) -> dict[str, Any]:
        """What candidates depend on beside the limits, as plain values."""
        return {name: value for name, value in asdict(self).items() if name != "limits"}

    @property
    def label(self) -> str:
        """What a study's usual name says of it: the limits."""
        return "-".join(sorted(str(limit).replace("=", "-") for limit in self.limits))

    @property
    def method(self) -> str:
        """The sampler's name."""
        return METHOD
