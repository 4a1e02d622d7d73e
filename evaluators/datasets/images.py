"""Public images from a data root or downloaded; scikit-learn's digits, which are always at hand."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from filelock import FileLock

from ...common.errors import DataError
from ...common.home import home
from ..image.tasks import ImageClassification
from .catalogue import Entry
from .roots import ROOT_VARIABLE, roots

IDX_NAMES = {"train": "train", "test": "t10k"}
FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_RECORD = 1 + 3 * 32 * 32
"""Bytes of an image in the archive: its class, then red, green and blue planes."""


def digits(name: str) -> ImageClassification:
    """1,797 digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return ImageClassification(data.images.astype(np.uint8), data.target, name=name)


def fashion_mnist(entry: Entry, data_root: Path | None) -> ImageClassification:
    """60,000 + 10,000 pieces of clothing, from the four IDX files, gzipped or plain.

    Raises:
        DataError: They are in no data root, and cannot be downloaded.
    """
    below, pattern = ("FashionMNIST/raw", "raw", ""), "train-images-idx3-ubyte*"
    folder = _find(entry, data_root, below, pattern)
    if folder is None:
        folder = home() / "datasets" / entry.folder / "raw"
        files = [f"{p}-{kind}-ubyte.gz" for p in IDX_NAMES.values() for kind in _IDX_KINDS]
        urls = {name: f"{FASHION_MNIST_URL}/{name}" for name in files}
        _fetch(entry, data_root, urls, folder, f"{below[0]}/{pattern}")
    parts: dict[str, Any] = {}
    for part, prefix in IDX_NAMES.items():
        parts[f"{part}_images"] = _idx(folder, f"{prefix}-images-idx3-ubyte")
        parts[f"{part}_labels"] = _idx(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = parts.pop("train_images"), parts.pop("train_labels")
    return ImageClassification(images, labels, name=entry.name, flips=True, **parts)


def cifar10(entry: Entry, data_root: Path | None) -> ImageClassification:
    """50,000 + 10,000 photographs of 32 x 32 pixels, from one file of JPEG streams.

    Decoding takes seconds: what was decoded is kept in the home, as is what was downloaded.

    Raises:
        DataError: The file is in no data root, and the original archive cannot be downloaded.
    """
    folder = _find(entry, data_root, ("raw", ""), "cifar10_jpeg.npz")
    unpacked = home() / "datasets" / entry.folder
    unpacked.mkdir(parents=True, exist_ok=True)
    if folder is None:
        archive = unpacked / "raw" / CIFAR10_URL.rsplit("/", 1)[1]
        urls = {archive.name: CIFAR10_URL}
        _fetch(entry, data_root, urls, archive.parent, "raw/cifar10_jpeg.npz")
        parts = _unpacked(archive, unpacked, _records)
    else:
        parts = _unpacked(folder / "cifar10_jpeg.npz", unpacked, _decode)
    images, labels = parts.pop("train_images"), parts.pop("train_labels")
    return ImageClassification(images, labels, name=entry.name, flips=True, **parts)


def _unpacked(
    source: Path, kept: Path, read: Callable[[Path, str], tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """Images ``[n, 3, 32, 32]`` uint8, mapped from the home, and labels ``[n]`` of both parts."""
    parts: dict[str, Any] = {}
    with FileLock(kept / "lock"):
        for part in ("train", "test"):
            paths = kept / f"{part}.npy", kept / f"{part}_labels.npy"
            if not all(path.exists() for path in paths):
                for path, array in zip(paths, read(source, part), strict=True):
                    making = path.with_suffix(".making.npy")
                    np.save(making, array)
                    os.replace(making, path)
            parts[f"{part}_images"] = np.load(paths[0], mmap_mode="r")
            parts[f"{part}_labels"] = np.load(paths[1])
    return parts


def _decode(source: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a file of JPEG streams."""
    from PIL import Image

    with np.load(source) as archive:
        stream, offsets = archive[f"{part}_jpeg"].tobytes(), archive[f"{part}_offsets"]
        labels = archive[f"{part}_labels"]
    pixels = [
        np.asarray(Image.open(io.BytesIO(stream[start:end])).convert("RGB"))
        for start, end in itertools.pairwise(offsets)
    ]
    return np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2)), labels


def _records(source: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the original archive's binary version."""
    with tarfile.open(source) as archive:
        wanted = "data_batch" if part == "train" else "test_batch"
        members = sorted(m.name for m in archive if f"/{wanted}" in m.name)
        members_read = [archive.extractfile(name) for name in members]
        data = b"".join(file.read() for file in members_read if file is not None)
    records = np.frombuffer(data, np.uint8).reshape(-1, CIFAR10_RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


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


_IDX_KINDS = ("images-idx3", "labels-idx1")


def _find(
    entry: Entry, data_root: Path | None, below: tuple[str, ...], pattern: str
) -> Path | None:
    """The folder below a data root that has the files; ``None`` where none has."""
    places = [root / entry.folder / part for root in roots(data_root) for part in below]
    return next((place for place in places if any(place.glob(pattern))), None)


def _fetch(
    entry: Entry, data_root: Path | None, urls: dict[str, str], folder: Path, wanted: str
) -> None:
    """Download what a folder lacks of some files, each whole or not at all."""
    from torch.hub import download_url_to_file

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        for name, url in urls.items():
            if (folder / name).exists():
                continue
            try:
                download_url_to_file(url, str(folder / name))
            except (URLError, OSError) as error:
                searched = ", ".join(str(root) for root in roots(data_root)) or "no data root"
                raise DataError(
                    f"no data for task {entry.name!r}: searched {searched}, and the download of "
                    f"{url} failed ({error}): give --data-root or set {ROOT_VARIABLE} to a folder "
                    f"with {entry.folder}/{wanted}"
                ) from None
