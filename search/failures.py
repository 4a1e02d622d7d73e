"""Stops a run in which most trials fail: its cause is not the configurations."""

from __future__ import annotations

from optuna.trial import TrialState

from ..errors import StudyError
from .record import StudyRecord
from .trial import COMPLETE, FAILED, PRUNED, Trial, is_refusal

TOLERATED = 4
"""So many failures are nobody's concern yet."""


class FailureWatch:
    """Looks after each trial of one run whether most have failed.

    Trials that ended before the run do not count: whoever mends the cause may go on.

    Args:
        record: The study, before the run.
    """

    def __init__(self, record: StudyRecord) -> None:
        self._record = record
        self._before = {t.slot for t in _ended(record)}

    def check(self) -> None:
        """Look.

        Raises:
            StudyError: At least `TOLERATED` trials of the run failed, and more than half of them.
        """
        failures = sum(t.state == TrialState.FAIL for t in self._record.optuna_study.all_trials())
        if failures < TOLERATED:
            return  # the usual case, and a cheap look
        now = [t for t in _ended(self._record) if t.slot not in self._before]
        now = [t for t in now if not is_refusal(t.error)]  # a limit did what it is for
        failed = [t for t in now if t.state == FAILED]
        if len(failed) >= TOLERATED and 2 * len(failed) > len(now):
            self._record.explain_away(t.slot for t in failed)
            raise StudyError(
                f"stopped: {len(failed)} of {len(now)} trials failed, the last one with: "
                f"{failed[-1].error}"
            )


def _ended(record: StudyRecord) -> list[Trial]:
    return [t for t in record.trials if t.state in (COMPLETE, PRUNED, FAILED)]
