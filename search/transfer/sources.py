"""What a bank offers to one study, and what a study adds to a bank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...banks.bank import NO_BANK, Bank
from ...banks.bundled import import_bundled
from ...banks.record import Record, task_of
from ...banks.similarity import predicted_similarity
from ...common.home import home
from ...spaces import Space
from ..studies.record import StudyRecord
from ..studies.trial import COMPLETE, FAILED, Trial, is_refusal
from ..surrogates.design_prior import DesignPrior
from ..surrogates.transfer_prior import TransferPrior, transfer_prior_of


def open_bank(bank: str | Bank | bool | None) -> Bank | None:
    """A bank by its URL; ``None`` is the home's, which includes the bundled ones.

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
    home_bank = Bank(f"sqlite:///{home() / 'bank.db'}")
    import_bundled(home_bank)
    return home_bank


class SourceTasks:
    """What the tasks of a bank say to one study.

    Args:
        bank: The bank.
        task: The target task's name there. Its own records are left out, and so are those of
            configurations that were searched for it.
        space: What the study searches.
        revision: The bank's revision when the study began (see `Bank.revision`).
        fingerprints: The target task's, by kind, the best kind first.

    Attributes:
        overlaps: How each space in the bank overlaps with the study's.
        tasks: The names of the source tasks.
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
    def refusal(self) -> str | None:
        """Why a bank of other spaces has no source tasks; ``None`` if it has some or is empty."""
        reasons = [overlap.refused for overlap in self.overlaps if overlap.refused is not None]
        return None if self.tasks or not reasons else "; ".join(reasons[:3])

    def transfer_prior(self) -> TransferPrior:
        """The prior of `TransferGPSampler`."""
        return transfer_prior_of(self.scores)

    def design_prior(self) -> DesignPrior:
        """The prior of `AutoTransferSampler`."""
        return DesignPrior(self.scores, self.similarity())

    def similarity(self) -> dict[str, float]:
        """The predicted similarity of each source task; empty if no fingerprints allow one."""
        for kind, vector in self._fingerprints.items():
            fingerprints = self._bank.fingerprints(kind)
            target = np.array(vector, dtype=float)
            similarity = predicted_similarity(self.scores, fingerprints, target)
            if similarity:
                return similarity
        return {}


def append_record(bank: Bank, study: StudyRecord) -> int:
    """Append a study's ended trials to a bank, each once however often this is called.

    Failures that say nothing of a configuration are left out: those refused for their cost, and
    those of a run in which most trials failed.

    Returns:
        How many records were new.
    """
    identity = study.identity
    task = task_of(
        identity["task"], study.metric, study.direction, identity["task_facts"], study.conditions
    )
    ended = [t for t in study.trials if t.state in (COMPLETE, FAILED) and t.config]
    ended = [t for t in ended if t.slot not in study.unexplained and not is_refusal(t.error)]
    if not ended:
        return 0
    space = Space.from_json(identity["space"])
    records = [_record(t, study) for t in ended]
    described = [(task.name, kind, v) for kind, v in identity.get("fingerprints", {}).items()]
    return bank.append_all([(task, space, records)], described)


def _record(trial: Trial, study: StudyRecord) -> Record:
    metrics = {k: v for k, v in trial.metrics.items() if math.isfinite(v)}
    return Record(
        trial.config,
        trial.value if trial.state == COMPLETE else None,
        metrics,
        seed=study.identity["seed"],
        seconds=metrics.get("seconds", math.nan),
        curve=trial.curve,
        error=trial.error,
        source=f"study {study.name}",
    )


def weight_rows(
    weights: dict[str, float], scores: dict[str, float] | None, top: int = 8
) -> list[dict[str, Any]]:
    """Source tasks by weight, as rows for people and the store.

    Args:
        weights: How far each task's scores move the prediction, by name.
        scores: Each task's score of the study's best configuration, by name.
        top: At most so many rows.
    """
    order = sorted(weights, key=lambda name: -abs(weights[name]))[:top]
    return [
        {
            "task": name,
            "weight": round(weights[name], 4),
            # Stored as "opinion" since version 0.1.
            **({} if scores is None else {"opinion": round(scores[name], 3)}),
        }
        for name in order
    ]
