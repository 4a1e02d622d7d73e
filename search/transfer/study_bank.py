"""A study's bank: what it begins with, what it leaves there, and what was listened to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from sqlalchemy.exc import SQLAlchemyError

from ...banks.bank import Bank
from ...banks.record import name_under
from ...common.errors import BequestError, StudyError, reason_of
from ...spaces import Config, Space
from ..samplers import uses_bank
from ..samplers.base import Observation, observations
from ..studies.record import INHERITED, StudyRecord, best_of
from .sources import NO_BANK, SourceTasks, append_record, explained, open_bank

MARK = "bequest:bank_mark"
"""The study attribute that holds the bank's mark when the study began."""

BANK = "bequest:bank"
"""The study attribute that holds the identity of the bank with which the study began, or "none"."""


@runtime_checkable
class Inheriting(Protocol):
    """A sampler that starts from a bank and can say what it took from it."""

    def prepare(self) -> None: ...

    def explain(self, history: Sequence[Observation]) -> dict[str, float]: ...


@runtime_checkable
class ScoresOfSources(Protocol):
    """A sampler that can say how each source task scores a configuration."""

    def source_scores(self, config: Config) -> dict[str, float]: ...


class StudyBank:
    """Joins one study to a bank.

    Args:
        bank: As `Study` takes it.
        record: The study.
        space: What it searches.
        stored: Whether the study is kept; one in memory leaves nothing behind, unless it is told
            where.
    """

    def __init__(
        self, bank: str | Bank | bool | None, record: StudyRecord, space: Space, *, stored: bool
    ) -> None:
        self._asked = bank
        self._record = record
        self._study = record.optuna_study
        self._space = space
        self._stored = stored

    @cached_property
    def bank(self) -> Bank | None:
        """The bank itself, where there is one."""
        return open_bank(self._asked)

    def source_tasks(self) -> SourceTasks | None:
        """What the bank hands down: as it stood when the study began, however often it resumes.

        Nothing where the sampler does not inherit, or to a study of several objectives: what is
        handed down speaks of one.
        """
        facts = self._record.facts
        if not uses_bank(facts["sampler"]) or self._record.minimize:
            return None
        self._check_same(self.bank)
        if self.bank is None:
            return None
        mark = self._mark(self.bank)
        task = name_under(facts["task"], self._record.conditions)
        found = SourceTasks(self.bank, task, self._space, mark, facts.get("fingerprints"))
        if found.silence is not None and self._asked is not None:
            warnings.warn(
                f"nothing is inherited from the bank: {found.silence}",
                stacklevel=5,
            )
        return found

    def measurements(self) -> tuple[Bank, int] | None:
        """The bank for what a first phase measures, and its mark when the study began."""
        bank = self._addressee()
        self._check_same(bank)
        return None if bank is None else (bank, self._mark(bank))

    def open(self) -> None:
        """See now, not after the search, that there is a bank to add to.

        Raises:
            BankError: It cannot be opened.
        """
        self._addressee()

    def hand_down(self) -> None:
        """Add the trials to the bank, and write down what was inherited.

        What goes wrong is a warning: the trials are kept, and can be added another time.
        """
        try:
            explanation = self.explain()
            if explanation:
                self._study.set_user_attr(INHERITED, explanation)
        except Exception as error:  # whatever the model's arithmetic, the bank or the store throws
            warnings.warn(
                f"what was inherited is not written down ({reason_of(error)}): the trials are kept",
                stacklevel=3,
            )
        try:
            bank = self._addressee()
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
        if not isinstance(sampler, Inheriting):
            return []
        history = observations(self._study, None, self._space)
        best = best_of(self._record.trials, self._record.direction)
        scores = None
        if best is not None and isinstance(sampler, ScoresOfSources):
            scores = sampler.source_scores(best.config)
        return explained(sampler.explain(history), scores)

    def _check_same(self, bank: Bank | None) -> None:
        """See that a study goes on with the bank, or without one, as it was begun.

        Raises:
            StudyError: It does not.
        """
        now = NO_BANK if bank is None else bank.identity
        begun = self._study.user_attrs.get(BANK)
        if begun is None:
            self._study.set_user_attr(BANK, now)
        elif begun != now:
            how = "without a bank" if begun == NO_BANK else "with another bank"
            remedy = "--bank none (bank=False)" if begun == NO_BANK else "that one"
            raise StudyError(
                f"study {self._record.name!r} was begun {how}: give {remedy}, or the new study "
                "another name"
            )

    def _addressee(self) -> Bank | None:
        """The bank that the study adds to."""
        if self._asked is None and not self._stored:
            return None
        return self.bank

    def _mark(self, bank: Bank) -> int:
        """The bank's mark when the study began."""
        mark: int | None = self._study.user_attrs.get(MARK)
        if mark is None:
            mark = bank.revision
            self._study.set_user_attr(MARK, mark)
        return mark
