"""Tasks on images: splits, pixels, batches, and what is refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch

from bequest import load_task
from bequest.common.errors import DataError
from bequest.evaluators.datasets import images as images_module
from bequest.evaluators.image.tasks import ImageClassification, Images, batches, prepare

RNG = np.random.default_rng(0)


def make_task(count: int = 100, classes: int = 4, **options: Any) -> ImageClassification:
    labels = np.arange(count) % classes
    images = RNG.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
    return ImageClassification(images, labels, name="toy", **options)


def test_parts_are_disjoint_stratified_and_the_seeds() -> None:
    task = make_task()
    task.images[:, 0, 0, 0] = np.arange(100)  # a mark in each image
    marks = {}
    for part, images in task.parts(3).items():
        mean, deviation = (s[0].item() for s in task.scale(3))
        marks[part] = set((images.x[:, 0, 0, 0] * deviation + mean).round().int().tolist())
        assert torch.bincount(images.y).tolist() == [len(images) // 4] * 4
    assert {part: len(m) for part, m in marks.items()} == {
        "train": 64,
        "validation": 16,
        "test": 20,
    }
    assert len(set.union(*marks.values())) == 100
    again, other = task.parts(3)["train"], task.parts(4)["train"]
    assert torch.equal(again.x, task.parts(3)["train"].x)
    assert not torch.equal(again.x, other.x)


@pytest.mark.parametrize("seed", range(8))
def test_a_rare_class_and_a_gap_in_the_labels_do_no_harm(seed: int) -> None:
    labels = np.arange(100) % 4 + 1  # none of class 0
    labels[17] = 7
    images = RNG.integers(0, 256, (100, 3, 8, 8), dtype=np.uint8)
    task = ImageClassification(images, labels, name="toy")
    for budget in (None, 40):
        parts = task.parts(seed, budget)
        assert (parts["train"].y == 7).sum() == 1
        counts = torch.bincount(parts["validation"].y, minlength=5)[1:5]
        assert counts.max() - counts.min() <= 1
    assert (task.arrays(seed, 10)["train"][1] == 7).sum() == 1


def test_images_are_shifted_by_their_shorter_side() -> None:
    images = Images(torch.zeros(2, 1, 8, 128), torch.zeros(2, dtype=torch.long))
    assert images.shift == 1


def test_too_small_a_budget_of_images_says_so() -> None:
    with pytest.raises(DataError, match="4 classes: 4 images cannot show them all"):
        make_task().parts(0, images=4)


def test_truth_values_are_pixels_and_sizes_must_agree() -> None:
    images = RNG.integers(0, 2, (20, 8, 8)).astype(bool)
    task = ImageClassification(images, np.arange(20) % 2, name="toy")
    assert task.images.max() == 1
    ragged = [np.zeros((8, 8)), *[np.zeros((9, 9))] * 19]
    with pytest.raises(DataError, match="different sizes"):
        ImageClassification(ragged, np.arange(20) % 2, name="toy")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="2 classes, numbered up to 900000"):
        ImageClassification(images, np.arange(20) % 2 * 900_000, name="toy")


def test_a_public_test_part_stays_as_it_is() -> None:
    test = RNG.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    task = make_task(test_images=test, test_labels=np.arange(12) % 4)
    for seed in (0, 1):
        assert task.parts(seed)["test"].y.tolist() == (np.arange(12) % 4).tolist()
    assert len(task.parts(0)["train"]) == 80
    assert task.describe()["test_images"] == 12


def test_training_pixels_are_standardised_and_averaged_down() -> None:
    task = make_task()
    x = task.parts(0, images=50, size=4)["train"].x
    assert x.shape == (40, 3, 4, 4)
    full = task.parts(0, images=50)["train"].x
    assert full.mean((0, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(full.std((0, 2, 3)), torch.ones(3), atol=0.01)
    assert torch.allclose(x[0, 0, 0, 0], full[0, 0, :2, :2].mean(), atol=1e-6)
    assert task.parts(0, size=64)["train"].x.shape[-1] == 8  # never larger than they are


def test_halves_share_the_images_out() -> None:
    images = Images(torch.arange(40.0).view(40, 1, 1, 1), torch.arange(40) % 4)
    first, second = images.halves(0)
    assert sorted(torch.cat([first.x, second.x]).flatten().tolist()) == list(range(40))
    assert torch.bincount(first.y).tolist() == torch.bincount(second.y).tolist() == [5] * 4


def test_batches_mirror_and_shift_and_lose_nothing_else() -> None:
    column = torch.arange(1.0, 7.0).expand(50, 1, 6, 6)  # 1 2 3 4 5 6 in each row
    images = Images(column, torch.zeros(50, dtype=torch.int64))
    seen = set()
    for batch in batches(images, 10, torch.Generator().manual_seed(0), flips=True, shift=1):
        for image in batch.x[:, 0]:
            full = image[image.sum(1) > 0]
            assert (full == full[0]).all()
            seen.add(tuple(full[0].int().tolist()))
    ahead = [(0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6), (2, 3, 4, 5, 6, 0)]
    assert seen == {*ahead, *(row[::-1] for row in ahead)}
    plain = list(batches(images, 20, torch.Generator(), flips=False))
    assert [len(b) for b in plain] == [20, 20]
    assert torch.equal(plain[0].x, column[:20])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((20, 8)), np.zeros(20), r"shape \[20, 8\]: give at least 10, as"),
        (np.zeros((20, 8, 8, 3)), np.arange(20) % 2, "put the channels before height"),
        (np.zeros((20, 2, 2)), np.arange(20) % 2, "images of 2 x 2: 4 x 4 at least"),
        (np.full((20, 8, 8), np.nan), np.arange(20) % 2, "not finite numbers"),
        (np.zeros((20, 8, 8)), np.arange(19), r"labels of shape \[19\] for 20 images"),
        (np.zeros((20, 8, 8)), np.arange(20) / 2, "give each its class"),
        (np.zeros((20, 8, 8)), np.zeros(20), "one class only"),
        (np.zeros((20, 8, 8)), np.array(["a", "b"] * 10), "number the classes from 0"),
    ],
)
def test_unfit_data_is_refused(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageClassification(images, labels, name="toy")


def test_unfit_test_parts_are_refused() -> None:
    with pytest.raises(DataError, match="test images or test labels alone"):
        make_task(test_labels=np.arange(12) % 4)
    with pytest.raises(DataError, match=r"test images of class 5, and its training images have"):
        make_task(test_images=np.zeros((12, 3, 8, 8)), test_labels=np.arange(12) % 6)
    with pytest.raises(DataError, match="give both one shape"):
        make_task(test_images=np.zeros((12, 3, 9, 9)), test_labels=np.arange(12) % 4)


# By name ------------------------------------------------------------------------------------------


def test_digits_are_always_at_hand() -> None:
    task = load_task("digits")
    assert task.describe()["images"] == 1797
    assert task.describe()["shape"] == "1 x 8 x 8"


def test_fashion_mnist(data_root: Path) -> None:
    task = load_task("fashion-mnist", data_root)
    assert isinstance(task, ImageClassification)
    assert task.images.shape == (60_000, 1, 28, 28)
    assert task.flips
    assert np.bincount(task.labels).tolist() == [6000] * 10
    # The published mean and deviation.
    assert task.images.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert task.images.std() / 255 == pytest.approx(0.3530, abs=5e-5)


def test_photographs_are_decoded_once(tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "cifar10" / "raw"
    folder.mkdir(parents=True)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 20), ("test", 10)):
        streams = []
        for i in range(count):
            stream = io.BytesIO()
            Image.new("RGB", (32, 32), (10 * i, 0, 255)).save(stream, "JPEG", quality=100)
            streams.append(stream.getvalue())
        arrays[f"{part}_jpeg"] = np.frombuffer(b"".join(streams), np.uint8)
        arrays[f"{part}_offsets"] = np.cumsum([0, *map(len, streams)])
        arrays[f"{part}_labels"] = np.arange(count) % 2
    np.savez(folder / "cifar10_jpeg.npz", **arrays)
    task = load_task("cifar10", tmp_path)
    assert isinstance(task, ImageClassification)
    assert task.images.shape == (20, 3, 32, 32)
    assert task.images[7].mean((1, 2)) == pytest.approx([70, 0, 255], abs=3)
    arrays["train_jpeg"] = arrays["train_jpeg"][:0]  # not looked at any more
    np.savez(folder / "cifar10_jpeg.npz", **arrays)
    again = load_task("cifar10", tmp_path)
    assert isinstance(again, ImageClassification)
    assert np.array_equal(again.images, task.images)


def test_idx_files_gzipped_or_plain(tmp_path: Path) -> None:
    folder = tmp_path / "fashion_mnist" / "raw"
    folder.mkdir(parents=True)
    for prefix, count in (("train", 30), ("t10k", 20)):
        pixels = (np.arange(count * 36) % 256).astype(np.uint8).tobytes()
        header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (count, 6, 6))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels))
        labels = b"\0\0\x08\x01" + count.to_bytes(4, "big") + bytes(i % 2 for i in range(count))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)
    task = load_task("fashion-mnist", tmp_path)
    assert task.images.shape == (30, 1, 6, 6)
    assert task.images[1, 0, 0].tolist() == [36, 37, 38, 39, 40, 41]
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0")
    with pytest.raises(DataError, match="cannot read 'train-labels-idx1-ubyte'"):
        load_task("fashion-mnist", tmp_path)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder behind a server of its own, from which images are downloaded."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.delenv("BEQUEST_DATA", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(images_module, "FASHION_MNIST_URL", address)
        monkeypatch.setattr(images_module, "CIFAR10_URL", f"{address}/cifar-10-binary.tar.gz")
        yield folder
        server.shutdown()


def test_clothing_is_downloaded_once(served: Path, bequest_home: Path) -> None:
    for prefix in ("train", "t10k"):
        pixels = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (20, 4, 4)) + bytes(320)
        labels = b"\0\0\x08\x01" + (20).to_bytes(4, "big") + bytes(i % 2 for i in range(20))
        (served / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pixels))
        (served / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    assert load_task("fashion-mnist", None).images.shape == (20, 1, 4, 4)
    for file in served.iterdir():
        file.unlink()
    assert load_task("fashion-mnist", None).images.shape == (20, 1, 4, 4)


def test_photographs_are_downloaded(served: Path, bequest_home: Path) -> None:
    def record(label: int, red: int) -> bytes:
        return bytes([label]) + bytes([red]) * 1024 + bytes(2048)

    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(served / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for number, name in enumerate(names):
            data = b"".join(record(i % 2, 10 * number + i) for i in range(10))
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    task = load_task("cifar10", None)
    assert isinstance(task, ImageClassification)
    assert task.images.shape == (50, 3, 32, 32)
    assert task.images[11].mean((1, 2)).tolist() == [11, 0, 0]
    assert task.labels.tolist() == [0, 1] * 25


def test_missing_images_say_where_they_belong(served: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz failed \(HTTP Error 404"):
        load_task("cifar10", tmp_path)
    with pytest.raises(DataError, match="folder with cifar10/raw/cifar10_jpeg.npz"):
        load_task("cifar10", tmp_path)
    with pytest.raises(DataError, match="'cifar10' is a set of images: -links needs one graph"):
        load_task("cifar10-links", tmp_path)


@pytest.mark.parametrize("shape", [(8, 4), (4, 8)])
def test_images_are_made_smaller_by_their_longer_side(shape: tuple[int, int]) -> None:
    images = np.ones((2, 1, *shape), dtype=np.uint8)
    scale = (torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    assert prepare(images, scale, 6).shape == (2, 1, 6, 6)
    assert prepare(images, scale, 8).shape == (2, 1, *shape)
