"""What README, docs and examples import exists, by its present name; their links lead somewhere."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
IMPORT = re.compile(
    r"^(?:from bequest[\w.]* import (?:\([^)]*\)|[^\n(#]+)|import bequest[\w.]*)", re.MULTILINE
)
LINES = sorted(
    {
        line.strip()
        for path in [*DOCUMENTS, *(ROOT / "examples").glob("*.py")]
        for line in IMPORT.findall(path.read_text())
    }
)


@pytest.mark.parametrize("line", LINES)
def test_what_is_imported_exists(line: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "bequest", DeprecationWarning)  # an old name
        exec(line, {})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
