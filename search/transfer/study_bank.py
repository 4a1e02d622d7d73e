"""A study's bank: its source tasks, the records it adds, and the weights the sources had."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from sqlalchemy.exc import SQLAlchemyError

from ...banks.bank import NO_BANK, Bank
from ...banks.record import name_under
from ...common.errors import BequestError, StudyError, reason_of
from ...common.threads import one_thread
from ...spaces import Config, Space
from ..samplers import uses_bank
from ..samplers.base import Observation, observations
from ..studies.record import SOURCE_WEIGHTS, StudyRecord, best_of
from .sources import SourceTasks, append_record, open_bank, weight_rows

REVISION = "bequest:bank_mark"
"""The study attribute that holds the bank's revision when the study began."""

BANK = "bequest:bank"
"""The study attribute that holds the identity of the bank with which the study began, or "none"."""


@runtime_checkable
class SourceAware(Protocol):
    """A sampler that learns from source tasks and can say how much each of them counts."""

    def prepare(self) -> None:
        """Learn from the sources before the first trial."""

    def explain(self, history: Sequence[Observation]) -> dict[str, float]:
        """The weight of each source task after some trials, by name."""


@runtime_checkable
class SourceScoring(Protocol):
    """A sampler that can say how each source task scores a configuration."""

    def source_scores(self, config: Config) -> dict[str, float]:
        """Scores in standard normal quantiles by the tasks' names."""


class StudyBank:
    """Joins one study to a bank.

    Args:
        bank: As `Study` takes it.
        record: The study.
        space: What it searches.
        stored: Whether the study is kept; a study in memory adds records only to a bank that was
            named.
    """

    def __init__(
        self, bank: str | Bank | bool | None, record: StudyRecord, space: Space, *, stored: bool
    ) -> None:
        self._argument = bank
        self._record = record
        self._study = record.optuna_study
        self._space = space
        self._stored = stored

    @cached_property
    def bank(self) -> Bank | None:
        """The bank itself, if there is one."""
        return open_bank(self._argument)

    def sources(self) -> SourceTasks | None:
        """The source tasks as the bank had them when the study began, even if it is resumed.

        ``None`` if the sampler uses no bank, and for a study of several objectives: a bank's scores
        are of one.
        """
        identity = self._record.identity
        if not uses_bank(identity["sampler"]) or self._record.minimize:
            return None
        self._check_same(self.bank)
        if self.bank is None:
            return None
        task = name_under(identity["task"], self._record.conditions)
        revision = self._revision(self.bank)
        sources = SourceTasks(self.bank, task, self._space, revision, identity.get("fingerprints"))
        if sources.refusal is not None and self._argument is not None:
            warnings.warn(
                f"nothing is inherited from the bank: {sources.refusal}",
                stacklevel=5,
            )
        return sources

    def for_stage(self) -> tuple[Bank, int] | None:
        """The bank for a first stage, with its revision when the study began."""
        bank = self._recipient()
        self._check_same(bank)
        return None if bank is None else (bank, self._revision(bank))

    def open(self) -> None:
        """Open the bank before the search rather than after it.

        Raises:
            BankError: It cannot be opened.
        """
        self._recipient()

    def append_trials(self) -> None:
        """Add the trials to the bank, and store the weights of the source tasks.

        Failures are warnings: the trials are kept, and can be added later.
        """
        try:
            rows = self.explain()
            if rows:
                self._study.set_user_attr(SOURCE_WEIGHTS, rows)
        except Exception as error:  # whatever the model's arithmetic, the bank or the store raises
            warnings.warn(
                f"the weights of the source tasks are not stored ({reason_of(error)}): the trials "
                "are kept",
                stacklevel=3,
            )
        try:
            bank = self._recipient()
            if bank is not None:
                append_record(bank, self._record)
        except (BequestError, SQLAlchemyError) as error:
            reason = reason_of(error)
            warnings.warn(
                f"the bank did not take the trials ({reason}): nothing is lost, `bequest bank "
                f"append {self._record.name}` adds them",
                stacklevel=3,
            )

    def explain(self) -> list[dict[str, Any]]:
        """See `Study.explain`."""
        sampler = self._study.sampler
        if not isinstance(sampler, SourceAware):
            return []
        history = observations(self._study, None, self._space)
        best = best_of(self._record.trials, self._record.direction)
        with one_thread():
            scores = None
            if best is not None and isinstance(sampler, SourceScoring):
                scores = sampler.source_scores(best.config)
            return weight_rows(sampler.explain(history), scores)

    def _check_same(self, bank: Bank | None) -> None:
        """Check that a study is resumed with the bank, or without one, as it was begun.

        Raises:
            StudyError: It is not.
        """
        now = NO_BANK if bank is None else bank.identity
        before = self._study.user_attrs.get(BANK)
        if before is None:
            self._study.set_user_attr(BANK, now)
        elif before != now:
            how = "without a bank" if before == NO_BANK else "with another bank"
            remedy = "--bank none (bank=False)" if before == NO_BANK else "that one"
            raise StudyError(
                f"study {self._record.name!r} was begun {how}: give {remedy}, or the new study "
                "another name"
            )

    def _recipient(self) -> Bank | None:
        """The bank that the study adds to."""
        if self._argument is None and not self._stored:
            return None
        return self.bank

    def _revision(self, bank: Bank) -> int:
        """The bank's revision when the study began."""
        revision: int | None = self._study.user_attrs.get(REVISION)
        if revision is None:
            revision = bank.revision
            self._study.set_user_attr(REVISION, revision)
        return revision
