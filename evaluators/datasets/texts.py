"""Public sets of texts from a data root."""

from __future__ import annotations

import json
from pathlib import Path

from ...common.errors import DataError
from ..text.tasks import TextClassification
from .catalogue import Entry
from .roots import ROOT_VARIABLE, roots

PARTS = ("train", "validation", "test")


def load(entry: Entry, data_root: Path | None) -> TextClassification:
    """A task from ``train.parquet``, ``validation.parquet``, ``test.parquet`` and ``labels.json``.

    Raises:
        DataError: They are in no data root.
    """
    folder = _find(entry, data_root)
    train, validation, test = (folder / f"{part}.parquet" for part in PARTS)
    names = folder / "labels.json"
    classes = json.loads(names.read_text()) if names.exists() else None
    return TextClassification(
        train, name=entry.name, classes=classes, validation=validation, test=test, public=True
    )


def _find(entry: Entry, data_root: Path | None) -> Path:
    for root in roots(data_root):
        folder = root / entry.folder
        if all((folder / f"{part}.parquet").exists() for part in PARTS):
            return folder
    searched = ", ".join(str(root) for root in roots(data_root)) or "no data root"
    raise DataError(
        f"no data for task {entry.name!r}: searched {searched}: give --data-root or set "
        f"{ROOT_VARIABLE} to a folder with {entry.folder}/train.parquet"
    )
