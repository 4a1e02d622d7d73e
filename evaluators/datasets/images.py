"""Public images from a data root, and scikit-learn's digits, which are always at hand."""

from __future__ import annotations

import gzip
import io
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from ...errors import DataError
from ...home import home
from ..image_tasks import ImageClassification
from .catalogue import Entry
from .roots import ROOT_VARIABLE, roots

IDX_NAMES = {"train": "train", "test": "t10k"}


def digits(name: str) -> ImageClassification:
    """1,797 digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return ImageClassification(data.images.astype(np.uint8), data.target, name=name)


def fashion_mnist(entry: Entry, data_root: Path | None) -> ImageClassification:
    """60,000 + 10,000 pieces of clothing, from the four IDX files, gzipped or plain.

    Raises:
        DataError: They are in no data root.
    """
    folder = _find(entry, data_root, ("FashionMNIST/raw", "raw", ""), "train-images-idx3-ubyte*")
    parts: dict[str, Any] = {}
    for part, prefix in IDX_NAMES.items():
        parts[f"{part}_images"] = _idx(folder, f"{prefix}-images-idx3-ubyte")
        parts[f"{part}_labels"] = _idx(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = parts.pop("train_images"), parts.pop("train_labels")
    return ImageClassification(images, labels, name=entry.name, flips=True, **parts)


def cifar10(entry: Entry, data_root: Path | None) -> ImageClassification:
    """50,000 + 10,000 photographs of 32 x 32 pixels, from one file of JPEG streams.

    Decoding takes seconds: what was decoded is kept in the home.

    Raises:
        DataError: The file is in no data root.
    """
    folder = _find(entry, data_root, ("raw", ""), "cifar10_jpeg.npz")
    kept = home() / "datasets" / entry.folder
    kept.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {}
    with FileLock(kept / "lock"):
        for part in ("train", "test"):
            path = kept / f"{part}.npy"
            if not path.exists():
                _decode(folder / "cifar10_jpeg.npz", part, path)
            parts[f"{part}_images"] = np.load(path, mmap_mode="r")
    with np.load(folder / "cifar10_jpeg.npz") as archive:
        parts |= {f"{part}_labels": archive[f"{part}_labels"] for part in ("train", "test")}
    images, labels = parts.pop("train_images"), parts.pop("train_labels")
    return ImageClassification(images, labels, name=entry.name, flips=True, **parts)


def _decode(source: Path, part: str, target: Path) -> None:
    """Write ``[n, 3, 32, 32]`` uint8."""
    from PIL import Image

    with np.load(source) as archive:
        stream, offsets = archive[f"{part}_jpeg"].tobytes(), archive[f"{part}_offsets"]
    pixels = [
        np.asarray(Image.open(io.BytesIO(stream[start:end])).convert("RGB"))
        for start, end in itertools.pairwise(offsets)
    ]
    making = target.with_suffix(".making.npy")
    np.save(making, np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2)))
    os.replace(making, target)


def _idx(folder: Path, name: str) -> np.ndarray:
    """The array of an IDX file: two zeros, a type, the number of dimensions, sizes, bytes."""
    zipped = folder / f"{name}.gz"
    try:
        data = gzip.decompress(zipped.read_bytes()) if zipped.exists() else None
        data = (folder / name).read_bytes() if data is None else data
        shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"cannot read {name!r} in {str(folder)!r}: {error}") from None


def _find(entry: Entry, data_root: Path | None, below: tuple[str, ...], pattern: str) -> Path:
    places = [root / entry.folder / part for root in roots(data_root) for part in below]
    for place in places:
        if any(place.glob(pattern)):
            return place
    searched = ", ".join(str(root) for root in roots(data_root)) or "no data root"
    raise DataError(
        f"no data for task {entry.name!r}: searched {searched}: give --data-root or set "
        f"{ROOT_VARIABLE} to a folder with {entry.folder}/{below[0]}/{pattern}"
    )
