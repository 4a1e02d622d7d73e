"""The tasks that can be loaded by name. Light: listing them loads no large library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .kinds import GRAPH, IMAGES, NODE, TEXTS


@dataclass(frozen=True)
class Entry:
    """One task known by name.

    Attributes:
        name: What users call it.
        kind: What is predicted; a key of `kinds.KINDS`, or a kind of the user's own.
        source: Where the data comes from, in words.
        loader: Gives the data, or the task (see `TaskKind.make`): ``.module:function`` below this
            package, or the function. Called with the arguments below where there is no folder, else
            with (entry, data root).
        arguments: What the loader needs to know.
        folder: The data's folder below a data root; empty for built-in data.
    """

    name: str
    kind: str
    source: str
    loader: str | Callable[..., Any]
    arguments: tuple[str, ...] = ()
    folder: str = ""

    @property
    def offline(self) -> bool:
        """Whether the data is always at hand."""
        return not self.folder


def _built_in() -> list[Entry]:
    knn = "scikit-learn, nearest-neighbour graph"
    entries = [
        Entry(f"{name}-knn", NODE, knn, ".neighbours:load", (name,))
        for name in ("digits", "wine", "breast-cancer")
    ]
    synthetic = "PyTorch Geometric, synthetic"
    entries += [
        Entry(name, kind, synthetic, ".synthetic:load", (name,))
        for name, kind in (
            ("sbm-homophilous", NODE),
            ("sbm-heterophilous", NODE),
            ("ba-shapes", NODE),
            ("motif-graphs", GRAPH),
            ("fake-graphs", GRAPH),
        )
    ]
    entries += [
        Entry("digits", IMAGES, "scikit-learn, 8 x 8 pixels", ".images:digits", ("digits",))
    ]
    return entries


def _pyg(name: str, kind: str, loader: str, label: str, folder: str) -> Entry:
    return Entry(
        name, kind, f"PyTorch Geometric, {loader}", ".public:load", (loader, label), folder
    )


def _public() -> list[Entry]:
    entries = [_pyg(n.lower(), NODE, "Planetoid", n, "planetoid") for n in _PLANETOID]
    entries += [_pyg(n.lower(), NODE, "Amazon", n, "amazon") for n in ("Photo", "Computers")]
    entries += [_pyg(n.lower(), NODE, "Coauthor", n, "coauthor") for n in ("CS", "Physics")]
    entries += [_pyg(n, NODE, "WebKB", n, "webkb") for n in ("cornell", "texas", "wisconsin")]
    entries += [_pyg("actor", NODE, "Actor", "", "actor")]
    entries += [
        _pyg(n, NODE, "WikipediaNetwork", n, "wikipedia_network") for n in ("chameleon", "squirrel")
    ]
    entries += [
        _pyg(f"airports-{n}", NODE, "Airports", n, "airports") for n in ("usa", "brazil", "europe")
    ]
    entries += [_pyg(n.lower().replace("_", "-"), GRAPH, "TUDataset", n, "tu") for n in _TU]
    entries += [
        Entry(n, NODE, "Open Graph Benchmark (extra: ogb)", ".public:load_ogb", (n,), "ogb")
        for n in ("ogbn-arxiv", "ogbn-products")
    ]
    entries += [
        Entry(name, IMAGES, source, f".images:{loader}", (), loader)
        for name, source, loader in (
            ("fashion-mnist", "Zalando Research, IDX files", "fashion_mnist"),
            ("cifar10", "JPEG streams in one file", "cifar10"),
        )
    ]
    return entries


def _texts() -> list[Entry]:
    return [
        Entry(name.replace("_", "-"), TEXTS, source, ".texts:load", (name,), f"text/{name}")
        for name, source in _TEXTS.items()
    ]


_TEXTS = {
    "ag_news_small": "AG News, a sample: topic",
    "banking77": "Banking77: intent",
    "clinc150_small": "CLINC150, small: intent",
    "cola": "CoLA: acceptability",
    "mr": "Movie reviews: polarity",
    "sst2": "Stanford Sentiment Treebank: polarity",
    "subj": "Subjectivity",
    "trec50": "TREC: question type, fine",
    "trec6": "TREC: question type, coarse",
    "tweet_emotion": "TweetEval: emotion",
}
"""Public sets of texts by their folders, each with train, validation and test.parquet."""

_PLANETOID = ("Cora", "CiteSeer", "PubMed")
_TU = (
    "MUTAG",
    "PROTEINS",
    "ENZYMES",
    "BZR",
    "COX2",
    "NCI1",
    "NCI109",
    "PTC_MR",
    "DD",
    "IMDB-BINARY",
    "IMDB-MULTI",
    "REDDIT-BINARY",
    "COLLAB",
)

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _built_in() + _public() + _texts()}

ALIASES = {
    "amazon-photo": "photo",
    "amazon-computers": "computers",
    "coauthor-cs": "cs",
    "coauthor-physics": "physics",
}
"""Other names of tasks; studies carry the first."""


def _tu_dortmund(label: str) -> Entry:
    """Any of TU Dortmund's sets of graphs; a set with a name in the catalogue has that one."""
    arguments = ("TUDataset", label)
    named = {entry.arguments: entry for entry in ENTRIES.values()}
    return named.get(arguments) or replace(
        ENTRIES["mutag"], name=f"tu:{label}", arguments=arguments
    )


PREFIXES = {"tu": _tu_dortmund}
"""Makes the entry of ``PREFIX:LABEL``."""
