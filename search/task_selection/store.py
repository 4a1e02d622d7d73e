"""What a selection has trained so far, on disk: facts, and one file for each source."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ...common.errors import SelectionError
from ...common.home import file_name, home

FORMAT_VERSION = 1
COMPARED = ("contexts", "selector", "seed", "costs", "conditions")


@dataclass(frozen=True)
class Source:
    """One trained source.

    Attributes:
        index: Its context.
        row: The return on every context ``[N]``; all NaN where the training failed.
        value: V after it.
        expected_gain: By how much it was expected to raise V; NaN where nothing was expected.
        seconds: Training and evaluation, wall time.
        finished: When (`time.time`).
        error: Why it failed.
        together: The contexts trained in one call, itself among them; empty for one alone.
    """

    index: int
    row: np.ndarray
    value: float
    expected_gain: float
    seconds: float
    finished: float
    error: str | None = None
    together: Sequence[int] = ()


class SelectionStore:
    """A folder with ``selection.json`` and ``sources/0000.npz``, ``0001.npz``, ...

    A file is written whole or not at all, so that a kill loses at most the source being trained.

    Args:
        name: The selection's name.
        folder: Where; by default ``selections/NAME`` in the Bequest home.

    Raises:
        SelectionError: The name is none for a folder.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        if not name.strip(". "):
            raise SelectionError(f"a selection cannot be called {name!r}: give it a name")
        self.folder = folder or home() / "selections" / file_name(name)
        (self.folder / "sources").mkdir(parents=True, exist_ok=True)

    def open(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The facts as they were when the selection was begun; written where it is new.

        Raises:
            SelectionError: It was begun with other contexts, another selector or seed, or the file
                is damaged.
        """
        path = self.folder / "selection.json"
        if not path.exists():
            whole = {"format_version": FORMAT_VERSION, **facts}
            self._write(path, json.dumps(whole, indent=1).encode())
            return whole
        try:
            stored: dict[str, Any] = json.loads(path.read_text())
            version = stored["format_version"]
        except (json.JSONDecodeError, KeyError) as error:
            raise SelectionError(f"{str(path)!r} is damaged: {error!r}") from error
        if version != FORMAT_VERSION:
            raise SelectionError(
                f"{str(path)!r} has format {version}, this Bequest reads {FORMAT_VERSION}"
            )
        stored.setdefault("conditions", {})  # older selections did not say
        for name in COMPARED:
            if stored.get(name) != facts[name]:
                raise SelectionError(
                    f"selection {facts['name']!r} was begun with other {name}: give the new one "
                    "another name"
                )
        return stored

    def sources(self) -> list[Source]:
        """What was trained, in order."""
        found = []
        for path in sorted((self.folder / "sources").glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as data:
                    facts = json.loads(str(data["facts"]))
                    found.append(Source(row=data["row"], **facts))
            except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
                raise SelectionError(
                    f"{str(path)!r} is damaged: remove it, its source is trained again ({error})"
                ) from error
        return found

    def append(self, source: Source) -> None:
        """Keep a source."""
        facts = {k: v for k, v in asdict(source).items() if k != "row"}
        # Behind the last one: of those before it a damaged one may have been removed.
        last = max((int(p.stem) for p in (self.folder / "sources").glob("*.npz")), default=-1)
        path = self.folder / "sources" / f"{last + 1:04}.npz"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(file, row=source.row, facts=json.dumps(facts))
        os.replace(part, path)

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        part = path.with_suffix(".part")
        part.write_bytes(content)
        os.replace(part, path)
