"""Public data through PyTorch Geometric's loaders; a data root is searched before any download.

PyTorch Geometric writes what it has processed beside the raw files. A data root may be read-only
and is never written to: its raw files are linked into the home, one by one (so that what a root
lacks is not downloaded into it), and processed there.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
import torch_geometric
from filelock import FileLock
from torch_geometric import datasets, transforms

from ...common.errors import DataError, reason_of
from ...common.home import home
from .catalogue import Entry
from .roots import ROOT_VARIABLE, roots

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

    def read(place: Path) -> Any:
        options = dict(_OPTIONS.get(loader, {}))
        if loader == "TUDataset" and _has_cleaned(place / label):
            options["cleaned"] = True
        arguments = (str(place), label) if label else (str(place),)
        dataset = getattr(datasets, loader)(*arguments, **options)
        return list(dataset) if loader == "TUDataset" else dataset[0]

    return _load(entry, label, data_root, read)


def load_ogb(entry: Entry, data_root: Path | None) -> Any:
    """A node set of the Open Graph Benchmark, with its public split as masks.

    Raises:
        DataError: The extra is not installed, or the data cannot be had.
    """
    try:
        from ogb.nodeproppred import PygNodePropPredDataset
    except ImportError:
        raise DataError(
            f"task {entry.name!r} needs the Open Graph Benchmark: pip install ogb"
        ) from None

    def read(place: Path) -> Any:
        dataset = PygNodePropPredDataset(entry.name, root=str(place))
        data, split = dataset[0], dataset.get_idx_split()
        for ours, theirs in (("train", "train"), ("val", "valid"), ("test", "test")):
            mask = torch.zeros(data.num_nodes, dtype=torch.bool)
            mask[split[theirs]] = True
            data[f"{ours}_mask"] = mask
        data.y = data.y.view(-1)
        return data

    return _load(entry, entry.name.replace("-", "_"), data_root, read)


def _load(entry: Entry, label: str, data_root: Path | None, read: Any) -> Any:
    """Link what a root has, read it (the loader downloads the rest), and say what was missing."""
    # What one version of PyTorch Geometric has processed, another may not be able to read.
    folder_of_version = home() / "datasets" / entry.folder / f"pyg-{torch_geometric.__version__}"
    folder_of_version.mkdir(parents=True, exist_ok=True)
    folder = folder_of_version / (label or "data")
    # Two processes that load a task for the first time would write the same files.
    with FileLock(f"{folder}.lock"):
        processed = any(folder.glob("**/processed*"))
        try:
            return _linked_and_read(entry, label, data_root, read, folder)
        except Exception as error:  # loaders raise whatever their libraries raise
            # A process that was killed may have left half a file behind; links are all else.
            shutil.rmtree(folder, ignore_errors=True)
            if not processed:
                raise _missing(entry, label, data_root, error) from error
            warnings.warn(
                f"what was processed of {entry.name!r} cannot be read ({reason_of(error)}): it is "
                "made anew",
                stacklevel=2,
            )
        try:
            return _linked_and_read(entry, label, data_root, read, folder)
        except Exception as error:  # as above: this time all was fetched anew
            shutil.rmtree(folder, ignore_errors=True)
            raise _missing(entry, label, data_root, error) from error


def _linked_and_read(
    entry: Entry, label: str, data_root: Path | None, read: Any, folder: Path
) -> Any:
    source = _source(entry.folder, label, data_root)
    if source is not None:
        _link(source, folder)
    return read(folder.parent if label else folder)


def _missing(entry: Entry, label: str, data_root: Path | None, error: Exception) -> DataError:
    searched = ", ".join(str(r) for r in roots(data_root)) or "no data root"
    source = _source(entry.folder, label, data_root)
    state = "nothing" if source is None else f"unreadable or incomplete files in {source}"
    reason = reason_of(error)
    wanted = f"{entry.folder}/{label}".rstrip("/")
    return DataError(
        f"no data for task {entry.name!r}: searched {searched} and found {state}, the download "
        f"failed ({reason}): give --data-root or set {ROOT_VARIABLE} to a folder with {wanted}"
    )


def _source(folder: str, label: str, data_root: Path | None) -> Path | None:
    """The data's folder in the first root that has it, however its name is written there."""
    for root in roots(data_root):
        parent = root / folder
        if not parent.is_dir():
            continue
        if not label and (parent / "raw").is_dir():
            return parent
        for child in sorted(parent.iterdir()):  # loaders disagree on upper case
            if label and child.is_dir() and child.name.lower() == label.lower():
                return child
    return None


def _link(source: Path, folder: Path) -> None:
    """Link every file below ``source``, except what some loader has processed there."""
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if not path.is_file() or any(part.startswith("processed") for part in inside.parts):
            continue
        link = folder / inside
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and not link.exists():
            link.unlink()  # a root that has moved
        if not link.exists():
            link.symlink_to(path.resolve())


def _has_cleaned(folder: Path) -> bool:
    """Whether only the cleaned version has node attributes at hand (ENZYMES needs them)."""
    return any(folder.glob("raw_cleaned/*_node_attributes.txt")) and not any(
        folder.glob("raw/*_node_attributes.txt")
    )
