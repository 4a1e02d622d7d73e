"""Public data through PyTorch Geometric's loaders; a data root is searched before any download.

PyTorch Geometric writes what it has processed beside the raw files. A data root may be read-only
and is never written to: its raw files are linked into the home, and processed there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch_geometric import datasets, transforms

from ...errors import DataError
from ...home import home
from .catalogue import Entry

ROOT_VARIABLE = "BEQUEST_DATA"

_OPTIONS: dict[str, dict[str, Any]] = {
    "Planetoid": {"transform": transforms.NormalizeFeatures()},
    "WikipediaNetwork": {"geom_gcn_preprocess": True},
    "TUDataset": {"use_node_attr": True},
}


def load(entry: Entry, data_root: Path | None) -> Any:
    """The graph, or set of graphs, of a catalogue entry.

    Raises:
        DataError: The data is neither in a data root nor can be downloaded.
    """
    loader, label = entry.arguments
    place = home() / "datasets" / entry.folder
    place.mkdir(parents=True, exist_ok=True)
    options = dict(_OPTIONS.get(loader, {}))
    # Two processes that load a task for the first time would write the same files.
    with FileLock(str(place / f"{label or loader}.lock")):
        found = _link_raw(entry.folder, label, place, data_root)
        if loader == "TUDataset" and _has_cleaned(place / label):
            options["cleaned"] = True
        try:
            dataset = getattr(datasets, loader)(*_arguments(place, label), **options)
        except (OSError, RuntimeError, ValueError) as error:
            searched = ", ".join(str(r) for r in _roots(data_root)) or "no data root"
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"no data for task {entry.name!r} ({reason}): searched {searched}, found "
                f"{'raw files' if found else 'nothing'}; give --data-root or set {ROOT_VARIABLE} "
                f"to a folder that holds {entry.folder}/{label}"
            ) from error
    return list(dataset) if loader == "TUDataset" else dataset[0]


def load_ogb(entry: Entry, data_root: Path | None) -> Any:
    """A node set of the Open Graph Benchmark, with its public split as masks.

    Raises:
        DataError: The extra is not installed, or the data cannot be had.
    """
    try:
        from ogb.nodeproppred import PygNodePropPredDataset
    except ImportError:
        raise DataError(
            f"task {entry.name!r} needs the Open Graph Benchmark: pip install 'bequest[ogb]'"
        ) from None
    roots = [r / entry.folder for r in _roots(data_root) if (r / entry.folder).is_dir()]
    place = roots[0] if roots else home() / "datasets" / entry.folder
    try:
        dataset = PygNodePropPredDataset(entry.name, root=str(place))
    except (OSError, RuntimeError) as error:
        raise DataError(f"no data for task {entry.name!r}: {error}") from error
    data, split = dataset[0], dataset.get_idx_split()
    for ours, theirs in (("train", "train"), ("val", "valid"), ("test", "test")):
        mask = torch.zeros(data.num_nodes, dtype=torch.bool)
        mask[split[theirs]] = True
        data[f"{ours}_mask"] = mask
    data.y = data.y.view(-1)
    return data


def _arguments(place: Path, label: str) -> tuple[str, ...]:
    return (str(place), label) if label else (str(place),)


def _roots(data_root: Path | None) -> list[Path]:
    """The folders to search: the user's, then the environment's; each may hold datasets/."""
    named = [data_root, Path(os.environ[ROOT_VARIABLE]) if os.environ.get(ROOT_VARIABLE) else None]
    return [folder for root in named if root is not None for folder in (root, root / "datasets")]


def _link_raw(folder: str, label: str, place: Path, data_root: Path | None) -> bool:
    """Link the raw files of the first root that has them; whether any has."""
    for root in _roots(data_root):
        source = _child(root / folder, label)
        if source is None:
            continue
        target = place / source.name if label else place
        for raw in [*source.glob("raw"), *source.glob("raw_cleaned"), *source.glob("geom_gcn/raw")]:
            link = target / raw.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_symlink() and not link.exists():
                link.unlink()  # a root that has moved
            if not link.exists():
                link.symlink_to(raw.resolve(), target_is_directory=True)
        return True
    return False


def _child(folder: Path, label: str) -> Path | None:
    """The data's folder, however its name is written (loaders disagree on upper case)."""
    if not folder.is_dir():
        return None
    if not label:
        return folder if (folder / "raw").is_dir() else None
    return next((c for c in folder.iterdir() if c.name.lower() == label.lower()), None)


def _has_cleaned(place: Path) -> bool:
    """Whether the cleaned version with node attributes is at hand (ENZYMES needs it)."""
    raw = place / "raw_cleaned"
    return raw.is_dir() and any(raw.glob("*_node_attributes.txt"))
