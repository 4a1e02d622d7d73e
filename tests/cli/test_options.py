"""Options in groups: what the command line gives reaches the group that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from bequest.cli.options import grouped


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(help="Across.")] = 3
    label: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None


@dataclass(frozen=True)
class Switches:
    loud: Annotated[bool, typer.Option(help="Say it loudly.")] = False


@pytest.fixture
def calls() -> list[object]:
    return []


@pytest.fixture
def app(calls: list[object]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @grouped
    def show(name: Annotated[str, typer.Argument()], size: Size, how: Switches) -> None:
        """Show a thing."""
        calls.append((name, size, how))

    return app


def test_each_option_reaches_its_group(app: typer.Typer, calls: list[object]) -> None:
    arguments = ["box", "--loud", "--width", "7", "--label", "a", "--label", "b"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert calls == [("box", Size(7, ["a", "b"]), Switches(True))]


def test_defaults_are_those_of_the_groups(app: typer.Typer, calls: list[object]) -> None:
    assert CliRunner().invoke(app, ["box"]).exit_code == 0
    ((_, size, how),) = calls  # type: ignore[misc]
    assert (size.width, how.loud) == (3, False)


def test_the_help_has_all_of_them(app: typer.Typer) -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    for part in ("Show a thing.", "Across.", "Repeatable.", "Say it loudly."):
        assert part in text


def test_an_unknown_option_is_refused(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["box", "--wide"]).exit_code == 2
