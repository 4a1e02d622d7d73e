"""Progress bars: quiet in a pipe, and faithful to what users wrote."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bequest.search.tracking.progress import progress_bar


@pytest.mark.parametrize("text", ["a/b [/x]", "[red]", "plain"])
def test_what_a_user_wrote_is_not_markup(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    monkeypatch.setattr("rich.console.Console", lambda **_: terminal)
    with progress_bar("best", enabled=True) as bar:
        bar.add_task(text, total=2, shown=text)
    assert isinstance(terminal.file, io.StringIO)
    assert terminal.file.getvalue().count(text) >= 2


def test_quiet_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Console(file=io.StringIO(), force_terminal=False)
    monkeypatch.setattr("rich.console.Console", lambda **_: pipe)
    with progress_bar("best", enabled=True) as bar:
        bar.add_task("toy", total=2, shown="-")
    assert isinstance(pipe.file, io.StringIO)
    assert pipe.file.getvalue() == ""
