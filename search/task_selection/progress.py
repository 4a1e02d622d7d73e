"""The progress bar of a selection: sources trained, V so far, time left."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..progress import progress_bar

if TYPE_CHECKING:
    from .selection import TaskSelection


class SelectionProgress:
    """A bar over the sources of one run; quiet when not in a terminal."""

    def __init__(self, selection: TaskSelection, budget: int, *, enabled: bool) -> None:
        self._selection = selection
        self._bar = progress_bar("V", enabled=enabled)
        self._task = self._bar.add_task(selection.name, total=budget, shown="-")

    def update(self) -> None:
        """Show where the selection stands."""
        done = self._selection.sources
        shown = f"{self._selection.value:.4f}" if done else "-"
        self._bar.update(self._task, completed=len(done), shown=shown)

    def __enter__(self) -> Self:
        if not self._bar.disable:
            self.update()
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._bar.disable:
            self._bar.stop()
