"""What measures one configuration: the contract between data, training and the search.

A *task* is data, a metric with its direction, and a split. An *evaluator* measures one
configuration on one task and returns an *outcome*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ..spaces import Config, Space

SEEDS = range(2**32)
"""The seeds that all libraries take."""

TEST_PREFIX = "test_"
"""How the names of metrics begin that are measured on the test split."""

Report = Callable[[int, float], None]
"""Called with (step, validation metric) while a configuration trains.

It may raise (`optuna.TrialPruned`) to end an unpromising training early: evaluators let that pass.
"""


@dataclass(frozen=True)
class Outcome:
    """The result of one evaluation.

    Attributes:
        value: The objective: the validation metric of the task. Finite.
        metrics: All other measurements, by name (``test_accuracy``, ``parameters``, ``flops``,
            ``seconds``, ``peak_memory_bytes``, ``epochs``, ...). The search does not use them, but
            for those that a study is asked to minimise.
    """

    value: float
    metrics: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Task(Protocol):
    """Data, a metric and its direction, a split."""

    @property
    def name(self) -> str:
        """A short name, for example ``"cora"``."""

    @property
    def metric(self) -> str:
        """The metric's name, for example ``"accuracy"``."""

    @property
    def direction(self) -> str:
        """``"maximize"`` or ``"minimize"``."""

    def describe(self) -> dict[str, Any]:
        """Plain facts for people and records: kind, sizes, and which split is used."""


class Evaluator(Protocol):
    """Measures one configuration on one task. Deterministic in (config, seed) on a CPU."""

    @property
    def task(self) -> Task: ...

    @property
    def space(self) -> Space: ...

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        """Train and measure.

        Raises:
            BequestError: The configuration cannot be trained. NaN is never returned as a value.
        """


@runtime_checkable
class Fingerprinted(Protocol):
    """An evaluator that can describe its task by numbers, without training anything."""

    def fingerprints(self) -> dict[str, Sequence[float]]:
        """Fingerprints of the task by kind; the kind that predicts similarity best comes first.

        Fingerprints of one kind have one length, whatever the task.
        """


@runtime_checkable
class Conditioned(Protocol):
    """An evaluator whose outcomes depend on more than task, configuration and seed."""

    @property
    def conditions(self) -> dict[str, Any]:
        """What differs from the defaults, as plain values: ``{"epochs": 5}``.

        Studies under other conditions have other names, and banks store them as other tasks.
        """


def conditions_of(evaluator: Evaluator) -> dict[str, Any]:
    """The conditions under which an evaluator measures."""
    return evaluator.conditions if isinstance(evaluator, Conditioned) else {}


@runtime_checkable
class Limited(Protocol):
    """An evaluator that refuses what would cost too much."""

    limits: dict[str, float]
    """The most that a configuration may cost, by name; studies within others have other names."""


@runtime_checkable
class Selective(Limited, Protocol):
    """One that can predict what it would refuse, so that samplers need not propose it."""

    def allows(self, config: Config) -> bool:
        """Whether a configuration can be built, and meets the limits, as predicted."""


def limits_of(evaluator: Evaluator) -> dict[str, float]:
    """The limits of an evaluator; empty where it has none."""
    return dict(evaluator.limits) if isinstance(evaluator, Limited) else {}


@runtime_checkable
class OneShotSearchable(Protocol):
    """An evaluator whose space has a supernet: what one-shot search needs."""

    def supernet(self, *, seed: int, **options: Any) -> Any:
        """All networks of the space at once (`supernet.Supernet`), on the training data."""


@runtime_checkable
class Fitter(Protocol):
    """An evaluator that can also hand over the trained model."""

    def fit(self, config: Config, *, seed: int, train_on_validation: bool = False) -> Fitted:
        """Train once more and return the model with its test metric."""


@runtime_checkable
class Fitted(Protocol):
    """A trained model that can be saved.

    `save` writes a folder with ``model.safetensors`` (weights) and ``model.json`` (its ``kind``,
    configuration and what is needed to rebuild it), which `bequest.load_model` reads.
    """

    metrics: dict[str, float]

    def save(self, folder: str) -> None: ...

    def predict(self, data: Any) -> Any: ...
