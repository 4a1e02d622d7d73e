"""Tasks on images: what is predicted, how it is split, how pixels become numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...common.errors import DataError
from ..digests import digest_of_arrays
from ..splits import check_numbering, hold_out, some_of

VALIDATION_SHARE = 0.2
"""Of the training images; without test images, as many of all are held out as test images."""


@dataclass(frozen=True)
class Images:
    """Images with their classes, as networks take them.

    Attributes:
        x: ``[n, channels, height, width]`` float32, standardised.
        y: ``[n]`` int64.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shift(self) -> int:
        """By how many pixels images are usually shifted: an eighth of the shorter side."""
        return min(self.x.shape[2:]) // 8

    def to(self, device: torch.device) -> Images:
        """The same images on a device."""
        return Images(self.x.to(device), self.y.to(device))

    def joined(self, others: Images) -> Images:
        """These images, then others."""
        return Images(torch.cat([self.x, others.x]), torch.cat([self.y, others.y]))

    def halves(self, seed: int) -> tuple[Images, Images]:
        """Two halves with the classes' shares kept, drawn by the seed."""
        first, second = hold_out(self.y.cpu().numpy(), len(self) - len(self) // 2, seed)
        return self.at(second), self.at(first)

    def at(self, index: np.ndarray | Tensor) -> Images:
        """The images at an index ``[k]``."""
        rows = torch.as_tensor(index)
        return Images(self.x[rows], self.y[rows])


class ImageClassification:
    """Predict the class of an image; scored by accuracy.

    Args:
        images: ``[n, height, width]`` or ``[n, channels, height, width]``, of any number type.
        labels: ``[n]`` classes, numbered from 0.
        name: What the task is called.
        test_images, test_labels: The public test part; where it is missing, a fifth of the images
            is held out by the seed.
        flips: Whether an image means the same when it is mirrored.

    Raises:
        DataError: The data is not fit for the task.
    """

    kind = "image classification"
    metric = "accuracy"
    direction = "maximize"

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        name: str,
        test_images: np.ndarray | None = None,
        test_labels: np.ndarray | None = None,
        flips: bool = False,
    ) -> None:
        self.name = name
        self.flips = flips
        self.images, self.labels = _checked(images, labels, name)
        self.test: tuple[np.ndarray, np.ndarray] | None = None
        if (test_images is None) != (test_labels is None):
            raise DataError(f"task {name!r} has test images or test labels alone: give both")
        if test_images is not None and test_labels is not None:
            self.test = _checked(test_images, test_labels, name)
            if self.test[0].shape[1:] != self.images.shape[1:]:
                raise DataError(
                    f"task {name!r} has images of shape {list(self.images.shape[1:])} and test "
                    f"images of shape {list(self.test[0].shape[1:])}: give both one shape"
                )
        self.classes = int(self.labels.max()) + 1
        if self.test is not None and int(self.test[1].max()) >= self.classes:
            raise DataError(
                f"task {name!r} has test images of class {int(self.test[1].max())}, and its "
                f"training images have classes up to {self.classes - 1}: add such images or drop "
                "those"
            )
        if self.classes < 2:
            raise DataError(f"task {name!r} has one class only: there is nothing to tell apart")
        self.channels, self.height, self.width = self.images.shape[1:]

    @cached_property
    def digest(self) -> str:
        """A digest of the images and labels, in their order."""
        return digest_of_arrays((self.images, self.labels, *(self.test or ())))

    def parts(
        self, seed: int, images: int | None = None, size: int | None = None
    ) -> dict[str, Images]:
        """The ``train``, ``validation`` and ``test`` images.

        Args:
            seed: Draws the split and, where there are more, the images that are used.
            images: At most so many of training and validation images together.
            size: Height and width after averaging, where images are larger; by default as they are.

        Raises:
            DataError: So few images that a class has none in some part.
        """
        raw = self._split(seed, images)
        scale = _scale(raw["train"][0])
        return {
            part: Images(prepare(x, scale, size), torch.from_numpy(y))
            for part, (x, y) in raw.items()
        }

    def arrays(
        self, seed: int, examples: int | None = None
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The parts as they were given: (images, labels) by part.

        Args:
            seed: Draws the split and, where there are more, the images that are used.
            examples: At most so many training images, half as many for validation, and as many for
                the test of a trial.
        """
        parts = self._split(seed, None)
        if examples is not None:
            half = max(examples // 2, 1)
            for part, most in (("train", examples), ("validation", half), ("test", examples)):
                x, y = parts[part]
                if len(y) > most:
                    drawn = some_of(y, most, seed)
                    parts[part] = x[drawn], y[drawn]
        return parts

    def scale(self, seed: int, images: int | None = None) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each channel of the training images ``[channels, 1, 1]``."""
        return _scale(self._split(seed, images)["train"][0])

    def _split(self, seed: int, images: int | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        pool = np.arange(len(self.labels))
        test = self.test
        if test is None:
            pool, held_out = hold_out(self.labels, _share(len(self.labels)), seed)
            test = self.images[held_out], self.labels[held_out]
        if images is not None and images < len(pool):
            pool = pool[some_of(self.labels[pool], images, seed)]
        classes = len(np.unique(self.labels))
        if len(pool) <= classes:
            raise DataError(
                f"task {self.name!r} has {classes} classes: {len(pool)} images cannot show them "
                "all for training and some for validation; give more"
            )
        rest, held_out = hold_out(self.labels[pool], _share(len(pool)), seed)
        train, validation = pool[rest], pool[held_out]
        missing = self.missing(self.labels[train])
        if missing:
            raise DataError(
                f"task {self.name!r} has no training image of class {missing[0]}: give more"
            )
        return {
            "train": (self.images[train], self.labels[train]),
            "validation": (self.images[validation], self.labels[validation]),
            "test": test,
        }

    def missing(self, labels: np.ndarray) -> list[int]:
        """The classes of the task that do not occur among some labels."""
        return sorted(set(self.labels.tolist()) - set(labels.tolist()))

    def describe(self) -> dict[str, Any]:
        """Plain facts for people and records."""
        return {
            "kind": self.kind,
            "metric": self.metric,
            "images": len(self.labels),
            "test_images": 0 if self.test is None else len(self.test[1]),
            "shape": f"{self.channels} x {self.height} x {self.width}",
            "classes": self.classes,
            "split": "stratified 80/20 by seed, public test part"
            if self.test
            else "stratified 64/16/20 by seed",
            "majority_share": round(float(np.bincount(self.labels).max()) / len(self.labels), 4),
        }


def of_channels(images: Any, channels: int) -> np.ndarray:
    """Images ``[n, channels, height, width]``, as a trained model takes them.

    Raises:
        DataError: The number of channels is not that.
    """
    x = np.asarray(images)
    x = x[:, None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[1] != channels:
        raise DataError(
            f"the model takes images of {channels} channels, [n, {channels}, height, width], and "
            f"got {list(np.shape(images))}"
        )
    return x


def prepare(x: np.ndarray, scale: tuple[Tensor, Tensor], size: int | None) -> Tensor:
    """Images ``[n, channels, height, width]`` as float32, standardised, ``size`` pixels wide."""
    mean, deviation = scale
    pixels = (torch.from_numpy(x.astype(np.float32)) - mean) / deviation
    if size is not None and size < max(pixels.shape[2:]):
        pixels = functional.interpolate(pixels, (size, size), mode="area")
    return pixels


def _scale(x: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel ``[channels, 1, 1]``."""
    mean = x.mean((0, 2, 3), dtype=np.float64)
    deviation = np.maximum(x.std((0, 2, 3), dtype=np.float64), 1e-6)
    shaped = [torch.from_numpy(v).float().view(-1, 1, 1) for v in (mean, deviation)]
    return shaped[0], shaped[1]


def batches(
    images: Images, size: int, generator: torch.Generator, *, flips: bool, shift: int = 0
) -> Iterator[Images]:
    """Shuffled batches of one epoch, whole ones only, mirrored and shifted at random.

    Args:
        images: What to go through.
        size: Images in a batch; all, where there are fewer.
        generator: The only source of randomness.
        flips: Whether half of them are mirrored.
        shift: By at most so many pixels in each direction; zeros move in.
    """
    size = min(size, len(images))
    order = torch.randperm(len(images), generator=generator)
    for start in range(0, len(order) - size + 1, size):
        batch = images.at(order[start : start + size])
        yield Images(_moved(batch.x, generator, flips, shift), batch.y)


def _moved(x: Tensor, generator: torch.Generator, flips: bool, shift: int) -> Tensor:
    n, _, height, width = x.shape
    columns = torch.arange(width).expand(n, -1)
    if flips:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows = torch.arange(height).expand(n, -1)
    if shift:
        x = functional.pad(x, (shift, shift, shift, shift))
        down, right = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)
        rows, columns = rows + down, columns + right
    places = torch.arange(n)[:, None, None]
    # Indexing puts the channels last: two plain dimensions around them would cost a copy more.
    return x.permute(0, 2, 3, 1)[places, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _share(count: int) -> int:
    return max(1, round(VALIDATION_SHARE * count))


def _checked(images: Any, labels: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        x, y = np.asarray(images), np.asarray(labels)
    except ValueError as error:  # ragged
        raise DataError(
            f"task {name!r} has images of different sizes: bring them to one size first"
        ) from error
    x = x.astype(np.uint8) if x.dtype == bool else x
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4 or len(x) < 10:
        raise DataError(
            f"task {name!r} has images of shape {list(np.shape(images))}: give at least 10, as "
            "[n, height, width] or [n, channels, height, width]"
        )
    if x.shape[1] > 4 >= x.shape[3]:
        raise DataError(
            f"task {name!r} has images of shape {list(x.shape)}: put the channels before height "
            "and width"
        )
    if min(x.shape[2:]) < 4:
        raise DataError(f"task {name!r} has images of {x.shape[2]} x {x.shape[3]}: 4 x 4 at least")
    if not np.issubdtype(x.dtype, np.number) or not np.isfinite(x).all():
        raise DataError(f"task {name!r} has images that are not finite numbers: mend or remove")
    if not np.issubdtype(y.dtype, np.number):
        raise DataError(f"task {name!r} has labels of type {y.dtype}: number the classes from 0")
    if y.shape != (len(x),) or not np.array_equal(y, y.astype(np.int64)) or y.min() < 0:
        raise DataError(
            f"task {name!r} has labels of shape {list(y.shape)} for {len(x)} images: give each "
            "its class, numbered from 0"
        )
    y = y.astype(np.int64)
    check_numbering(y, name)
    return x, y
