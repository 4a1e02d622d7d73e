"""Tasks by name: one loader module for each kind of source."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.errors import DataError, unknown_name
from .catalogue import ALIASES, ENTRIES, IMAGES, LINKS, LINKS_SUFFIX, NODE, TEXTS, Entry

if TYPE_CHECKING:
    from ..graph.tasks import GraphTask
    from ..image.tasks import ImageClassification
    from ..text.tasks import TextClassification

__all__ = ["Entry", "list_tasks", "load_task"]


def list_tasks() -> list[Entry]:
    """The tasks known by name, built-in ones first."""
    return list(ENTRIES.values())


def load_task(
    name: str, data_root: str | Path | None = None
) -> GraphTask | ImageClassification | TextClassification:
    """A task by its name, as ``bequest tasks`` lists it.

    Args:
        name: For example ``"cora"``; ``"cora-links"`` is link prediction on the same graph;
            ``"tu:AIDS"`` is any of TU Dortmund's sets of graphs; ``"amazon-photo"`` is ``"photo"``.
        data_root: Searched for the data before anything is downloaded; by default the folder in
            ``BEQUEST_DATA``.

    Raises:
        UnknownNameError: There is no such task.
        DataError: The data is neither at hand nor can be downloaded.
    """
    entry = _entry(name)
    data: Any = _load(entry, None if data_root is None else Path(data_root))
    if entry.kind in (IMAGES, TEXTS):
        return data  # type: ignore[no-any-return]
    from ..graph.tasks import GraphClassification, LinkPrediction, NodeClassification

    if entry.kind == LINKS:
        return LinkPrediction(data, name=entry.name)
    if entry.kind == NODE:
        return NodeClassification(data, name=entry.name)
    return GraphClassification(data, name=entry.name)


def _entry(name: str) -> Entry:
    if name.startswith("tu:"):
        known = {entry.arguments: entry for entry in ENTRIES.values()}
        arguments = ("TUDataset", name[3:])
        return known.get(arguments) or replace(ENTRIES["mutag"], name=name, arguments=arguments)
    base = name.removesuffix(LINKS_SUFFIX)
    base = ALIASES.get(base, base)
    if base not in ENTRIES:
        raise unknown_name("task", name, [*ENTRIES, *ALIASES])
    entry = ENTRIES[base]
    if not name.endswith(LINKS_SUFFIX):
        return entry
    if entry.kind != NODE:
        held = {IMAGES: "images", TEXTS: "texts"}.get(entry.kind, "graphs")
        raise DataError(f"{base!r} is a set of {held}: {LINKS_SUFFIX} needs one graph")
    return replace(entry, name=base + LINKS_SUFFIX, kind=LINKS)


def _load(entry: Entry, data_root: Path | None) -> Any:
    module, function = entry.loader.split(":")
    load = getattr(importlib.import_module(f".{module}", __name__), function)
    return load(*entry.arguments) if entry.offline else load(entry, data_root)
