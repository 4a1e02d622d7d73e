"""Joins banks and studies: what a study inherits, and what it leaves behind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...banks.bank import Bank
from ...banks.bundled import import_bundled
from ...banks.record import Record, task_of
from ...banks.similarity import predicted_similarity
from ...common.home import home
from ...spaces import Space
from ..studies.record import StudyRecord
from ..studies.trial import COMPLETE, FAILED, Trial, is_refusal
from ..surrogates.design_prior import DesignPrior
from ..surrogates.transfer_prior import TransferPrior, transfer_prior_of

NO_BANK = "none"


def open_bank(bank: str | Bank | bool | None) -> Bank | None:
    """A bank by its URL; ``None`` is the home's, which holds the bundled one, too.

    Args:
        bank: A URL, a bank, ``None``, or ``"none"`` or ``False`` for no bank.

    Raises:
        BankError: It cannot be opened.
    """
    if bank is False or bank == NO_BANK:
        return None
    if isinstance(bank, Bank):
        return bank
    if isinstance(bank, str):
        return Bank(bank)
    own = Bank(f"sqlite:///{home() / 'bank.db'}")
    import_bundled(own)
    return own


class SourceTasks:
    """The tasks of a bank that a study can learn from.

    Args:
        bank: The bank.
        task: The new task's name there; what the bank holds of it, or was bred for it, is left out.
        space: What the study searches.
        revision: The bank's revision when the study began (see `Bank.revision`).
        fingerprints: The new task's, by kind, the best kind first.

    Attributes:
        overlaps: How each space in the bank overlaps with the study's.
        tasks: The names of the tasks that have something to say.
    """

    def __init__(
        self,
        bank: Bank,
        task: str,
        space: Space,
        revision: int,
        fingerprints: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        scores, self.overlaps = bank.scores(space, until=revision)
        self.scores = scores.without([task])
        self.tasks = [t.name for t in self.scores.tasks]
        self._bank = bank
        self._fingerprints = fingerprints or {}

    @property
    def silence(self) -> str | None:
        """Why a bank of other spaces says nothing; ``None`` where it says something or is empty."""
        reasons = [overlap.refused for overlap in self.overlaps if overlap.refused is not None]
        return None if self.tasks or not reasons else "; ".join(reasons[:3])

    def transfer_prior(self) -> TransferPrior:
        """The prior of `TransferGPSampler`."""
        return transfer_prior_of(self.scores)

    def design_prior(self) -> DesignPrior:
        """The prior of `AutoTransferSampler`."""
        return DesignPrior(self.scores, self.similarity())

    def similarity(self) -> dict[str, float]:
        """How alike the new task is to each of the bank's; empty where nothing tells."""
        for kind, vector in self._fingerprints.items():
            known = self._bank.fingerprints(kind)
            found = predicted_similarity(self.scores, known, np.array(vector, dtype=float))
            if found:
                return found
        return {}


def append_record(bank: Bank, study: StudyRecord) -> int:
    """Append a study's ended trials to a bank; what is there already stays once.

    Failures that say nothing of a configuration stay out: what was refused for its cost, and what
    failed when most did.

    Returns:
        How many records were new.
    """
    facts = study.facts
    task = task_of(
        facts["task"], study.metric, study.direction, facts["task_facts"], study.conditions
    )
    ended = [t for t in study.trials if t.state in (COMPLETE, FAILED) and t.config]
    ended = [t for t in ended if t.slot not in study.unexplained and not is_refusal(t.error)]
    if not ended:
        return 0
    space = Space.from_json(facts["space"])
    records = [_record(t, study) for t in ended]
    described = [(task.name, kind, v) for kind, v in facts.get("fingerprints", {}).items()]
    return bank.append_all([(task, space, records)], described)


def _record(trial: Trial, study: StudyRecord) -> Record:
    metrics = {k: v for k, v in trial.metrics.items() if math.isfinite(v)}
    return Record(
        trial.config,
        trial.value if trial.state == COMPLETE else None,
        metrics,
        seed=study.facts["seed"],
        seconds=metrics.get("seconds", math.nan),
        curve=trial.curve,
        error=trial.error,
        source=f"study {study.name}",
    )


def explained(
    weights: dict[str, float], scores: dict[str, float] | None, top: int = 8
) -> list[dict[str, Any]]:
    """Rows for people: the earlier tasks by weight, and what each thinks of the best design."""
    order = sorted(weights, key=lambda name: -abs(weights[name]))[:top]
    return [
        {
            "task": name,
            "weight": round(weights[name], 4),
            **({} if scores is None else {"opinion": round(scores[name], 3)}),
        }
        for name in order
    ]
