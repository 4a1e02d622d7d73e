"""The kinds of task there are: how each is made of data or of a user's file.

Light: reading this module loads no large library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NODE, GRAPH = "node classification", "graph classification"
LINKS = "link prediction"
IMAGES = "image classification"
TEXTS = "text classification"


@dataclass(frozen=True)
class TaskKind:
    """One kind of task.

    Attributes:
        name: What is predicted; the tasks' ``kind``.
        data: What a task of this kind consists of, in words.
        make: Makes a task of (data, name=...), where loaders give bare data; ``module:callable``
            in this package, or the callable. ``None`` where they give the task.
        from_file: Makes a task of (path, name=..., columns and other files by name); ``None`` where
            tasks of this kind are not read from a user's file.
    """

    name: str
    data: str = "examples"
    make: str | Callable[..., Any] | None = None
    from_file: str | Callable[..., Any] | None = None


@dataclass(frozen=True)
class Derived:
    """Tasks that are made of the data of another kind, by a suffix of the name.

    Attributes:
        kind: Of the derived task.
        base: The kind whose data it takes.
        needs: What data that is, in words.
    """

    kind: str
    base: str
    needs: str


KINDS: dict[str, TaskKind] = {
    kind.name: kind
    for kind in (
        TaskKind(NODE, "graphs", make="..graph.tasks:NodeClassification"),
        TaskKind(GRAPH, "graphs", make="..graph.tasks:GraphClassification"),
        TaskKind(LINKS, "graphs", make="..graph.tasks:LinkPrediction"),
        TaskKind(IMAGES, "images"),
        TaskKind(TEXTS, "texts", from_file="..text.tasks:TextClassification"),
    )
}
"""Kinds by name."""

DERIVED = {"-links": Derived(LINKS, base=NODE, needs="one graph")}
"""By suffix: ``cora-links`` is link prediction on the graph of ``cora``."""
