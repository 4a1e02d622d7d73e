"""Images as a pre-trained backbone takes them: its channels, its size, its scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...common.errors import ArchitectureError
from ..peft.handle import Inputs
from .backbones import BYTE, ImageBackbone


@dataclass(frozen=True)
class PixelForm:
    """How a task's images are brought into a backbone's form: ``(x - offset) / spread``, resized.

    Attributes:
        channels, height, width: Of the result.
        offset, spread: Of each of its channels.
    """

    channels: int
    height: int
    width: int
    offset: list[float]
    spread: list[float]

    @classmethod
    def of(cls, backbone: ImageBackbone, images: np.ndarray) -> PixelForm:
        """The form that fits a backbone.

        Where the backbone says which mean and deviation it was trained with, these are taken (bytes
        go from 0 to 255; other numbers from 0, or the lowest, to the highest of the images), else
        the images' own.

        Args:
            backbone: For whom.
            images: The training images, ``[n, channels, height, width]``.

        Raises:
            ArchitectureError: The backbone takes other channels.
        """
        given, wanted = images.shape[1], backbone.channels
        if given != wanted and 1 not in (given, wanted):
            raise ArchitectureError(
                f"backbone {backbone.name!r} takes images of {wanted} channels, and there are "
                f"{given}: give another backbone, or images of {wanted} channels or of one"
            )
        if backbone.standard is not None:
            low, high = _range(images)
            offset, spread = (np.array(v) * (high - low) for v in backbone.standard)
            offset = offset + low
        else:
            offset = images.mean((0, 2, 3), dtype=np.float64)
            spread = np.maximum(images.std((0, 2, 3), dtype=np.float64), 1e-6)
        if len(offset) != wanted:  # grey becomes colour, or colour grey
            offset, spread = (np.full(wanted, v.mean()) for v in (offset, spread))
        height, width = backbone.size or _whole_patches(backbone.patch, images.shape[2:])
        return cls(wanted, height, width, offset.tolist(), spread.tolist())

    def __call__(self, images: Tensor) -> Tensor:
        """``[B, c, h, w]`` of any number type to ``[B, channels, height, width]`` float32."""
        x = images.float()
        if x.shape[1] != self.channels:
            x = x.mean(dim=1, keepdim=True).expand(-1, self.channels, -1, -1)
        if x.shape[2:] != (self.height, self.width):
            x = functional.interpolate(
                x, (self.height, self.width), mode="bilinear", antialias=True, align_corners=False
            )
        offset, spread = (x.new_tensor(v).view(-1, 1, 1) for v in (self.offset, self.spread))
        return (x - offset) / spread


@dataclass(frozen=True)
class Pixels:
    """Images for a backbone; see `bequest.evaluators.finetuning.batches.Examples`.

    Attributes:
        images: As the task has them, ``[n, channels, height, width]``; brought into form batch by
            batch.
        labels: ``[n]`` int64.
        form: The form.
        positions: Of each image in the backbone's hidden states.
    """

    images: np.ndarray
    labels: Tensor
    form: PixelForm
    positions: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def lengths(self) -> list[int]:
        """The same number for all."""
        return [self.positions] * len(self)

    def inputs(self, index: Sequence[int], device: torch.device) -> Inputs:
        """The images at an index as the backbone takes them."""
        pixels = torch.from_numpy(_as_numbers(self.images[list(index)])).to(device)
        return {"pixel_values": self.form(pixels)}

    def joined(self, others: Pixels) -> Pixels:
        """These images, then others, in the form of these."""
        images = np.concatenate([self.images, others.images])
        return replace(self, images=images, labels=torch.cat([self.labels, others.labels]))


def _as_numbers(images: np.ndarray) -> np.ndarray:
    """Images as numbers that torch takes: bytes stay bytes (less to send to a GPU)."""
    return images if images.dtype == np.uint8 else images.astype(np.float32)


def _range(images: np.ndarray) -> tuple[float, float]:
    """(black, white) of images."""
    if images.dtype == np.uint8:
        return 0.0, BYTE
    low, high = min(0.0, float(images.min())), float(images.max())
    return low, high if high > low else low + 1.0


def _whole_patches(patch: tuple[int, int], size: Sequence[int]) -> tuple[int, int]:
    """The smallest size of whole patches that holds an image."""
    height, width = (p * -(-s // p) for p, s in zip(patch, size, strict=True))
    return height, width
