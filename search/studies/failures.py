"""Stops a run in which most trials fail: the configurations are not the cause."""

from __future__ import annotations

from optuna.trial import TrialState

from ...common.errors import StudyError
from .record import StudyRecord
from .trial import COMPLETE, FAILED, PRUNED, Trial, is_refusal

TOLERATED = 4
"""A run with fewer failures goes on."""


def most_failed(failed: int, ended: int) -> bool:
    """Whether so many failures among what ended in a run are a reason to stop it."""
    return failed >= TOLERATED and 2 * failed > ended


class FailureWatch:
    """Checks after each trial of a run whether most have failed.

    Trials that ended before the run do not count, so that a run can go on once the cause is mended.
    As long as most have failed, the failures are recorded as unexplained (see
    `StudyRecord.unexplained`): the run may end before it is stopped.

    Args:
        record: The study, before the run.
    """

    def __init__(self, record: StudyRecord) -> None:
        self._record = record
        self._before = {t.slot for t in _ended(record)}

    def check(self) -> None:
        """Stop the run if most of its trials failed.

        Raises:
            StudyError: At least `TOLERATED` trials of the run failed, and more than half of them.
        """
        if all(t.state != TrialState.FAIL for t in self._record.optuna_study.all_trials()):
            return  # the usual case, and a cheap look
        now = [t for t in _ended(self._record) if t.slot not in self._before]
        now = [t for t in now if not is_refusal(t.error)]  # a limit did what it is for
        failed = [t for t in now if t.state == FAILED]
        most = 2 * len(failed) > len(now)
        earlier = self._record.unexplained - {t.slot for t in now}
        self._record.set_unexplained(earlier | {t.slot for t in failed if most})
        if most_failed(len(failed), len(now)):
            raise StudyError(
                f"stopped: {len(failed)} of {len(now)} trials failed, the last one with: "
                f"{failed[-1].error}"
            )


def _ended(record: StudyRecord) -> list[Trial]:
    return [t for t in record.trials if t.state in (COMPLETE, PRUNED, FAILED)]
