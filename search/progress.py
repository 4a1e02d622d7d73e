"""The progress bar: trials done, best value so far, time left. Quiet when not in a terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .record import StudyRecord, best_of
from .trial import COMPLETE, FAILED, PRUNED, Trial

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Progress:
    """A rich progress bar over the trials of one run.

    Args:
        study: The study that runs.
        trials: The study's budget of trials, if it has one.
        deadline: The time (`time.time`) when the run ends, if there is one.
        enabled: Whether to show anything at all.
    """

    def __init__(
        self, study: StudyRecord, trials: int | None, deadline: float | None, *, enabled: bool
    ) -> None:
        self._study = study
        self._deadline = deadline
        self._bar = progress_bar("best", enabled=enabled)
        self._task = self._bar.add_task(study.name, total=trials, shown="-")
        self.visible = not self._bar.disable

    def update(self) -> None:
        """Show the state of the study."""
        if not self.visible:
            return
        done = [t for t in self._study.trials if t.state in (COMPLETE, PRUNED, FAILED)]
        self._bar.update(self._task, completed=len(done), shown=self._best(done))

    def _best(self, done: list[Trial]) -> str:
        best = best_of(done, self._study.direction)
        if best is None:
            return "-"
        left = "" if self._deadline is None else f" ({max(0, self._deadline - time.time()):.0f} s)"
        return f"{self._study.metric} {best.value:.4f}{left}"

    def __enter__(self) -> Self:
        if self.visible:
            self.update()
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.visible:
            self._bar.stop()


def progress_bar(label: str, *, enabled: bool) -> RichProgress:
    """A bar on standard error, if that is a terminal, with one field, ``shown``, behind a label."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{label} {{task.fields[shown]}}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        disable=not (enabled and console.is_terminal),
    )
