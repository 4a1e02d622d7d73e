"""Progress bars: steps done, best value so far, time left. Nothing is shown outside a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..studies.record import StudyRecord, best_of
from ..studies.trial import COMPLETE, FAILED, PRUNED, Trial

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def study_progress(
    study: StudyRecord, trials: int | None, deadline: float | None, *, enabled: bool
) -> Iterator[Callable[[], None]]:
    """A bar over the trials of one run; yields a function that updates it.

    Args:
        study: The study that runs.
        trials: The study's budget of trials, if it has one.
        deadline: The time (`time.time`) when the run ends, if there is one.
        enabled: Whether to show anything at all.
    """
    with progress_bar("best", enabled=enabled) as bar:
        task = bar.add_task(study.name, total=trials, shown="-")

        def update() -> None:
            if bar.disable:
                return  # reading the trials takes time
            done = [t for t in study.trials if t.state in (COMPLETE, PRUNED, FAILED)]
            bar.update(task, completed=len(done), shown=_best(study, done, deadline))

        update()
        yield update


def _best(study: StudyRecord, done: list[Trial], deadline: float | None) -> str:
    best = best_of(done, study.direction, study.minimize)
    if best is None:
        return "-"
    left = "" if deadline is None else f" ({max(0, deadline - time.time()):.0f} s)"
    return f"{study.metric} {best.value:.4f}{left}"


@contextmanager
def progress_bar(label: str, *, enabled: bool) -> Iterator[Progress]:
    """A bar on standard error, if that is a terminal, with one field, ``shown``, behind a label."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{label} {{task.fields[shown]}}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        disable=not (enabled and console.is_terminal),
    )
    if bar.disable:  # started and stopped it would still write an empty line
        yield bar
        return
    with bar:
        yield bar
