"""Supernets of cells on images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ...spaces import Space
from ...spaces.relaxation import relaxation_of
from ..seeding import seeded
from ..supernet import Batch, Supernet
from .cell_network import Shape, mixed_network
from .tasks import Images, batches

JUDGING_BATCH = 128
JUDGING_IMAGES = 512
"""So many of the validation half tell what the removal of an operation costs."""


class ImageHalves:
    """Images in two halves, mirrored and shifted at random where they are learned from.

    Args:
        train: The half that weights learn from.
        validation: The half that alphas learn from.
        seed: With the epoch, the only source of randomness.
        batch_size: Images of each half in a step.
        flips, shift: See `image_tasks.batches`.
    """

    def __init__(
        self,
        train: Images,
        validation: Images,
        *,
        seed: int,
        batch_size: int = 64,
        flips: bool = False,
        shift: int = 0,
    ) -> None:
        self.train = train
        self.validation = validation
        self.seed = seed
        self.batch_size = batch_size
        self.flips = flips
        self.shift = shift

    def batches(self, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """As many steps as the smaller half has batches."""
        streams = []
        for number, half in enumerate((self.train, self.validation)):
            generator = torch.Generator().manual_seed((self.seed * 1000 + epoch) * 2 + number)
            drawn = batches(half, self.batch_size, generator, flips=self.flips, shift=self.shift)
            streams.append(Batch((images.x,), images.y) for images in drawn)
        return zip(*streams, strict=False)

    def judging(self) -> Sequence[Batch]:
        """The first images of the validation half, as they are."""
        x, y = self.validation.x[:JUDGING_IMAGES], self.validation.y[:JUDGING_IMAGES]
        return [
            Batch((x[i : i + JUDGING_BATCH],), y[i : i + JUDGING_BATCH])
            for i in range(0, len(y), JUDGING_BATCH)
        ]


def cell_supernet(
    space: Space, shape: Shape, halves: ImageHalves, *, seed: int, **options: object
) -> Supernet:
    """The supernet of a space of cells.

    Args:
        space: NAS-Bench-201's or DARTS' cells.
        shape: How large the supernet is.
        halves: The data.
        seed: Draws the first weights.
        **options: ``gate``, ``zero_one`` and ``decaying_skip`` of `Supernet`.

    Raises:
        SpaceError: The space is not one of cells.
    """
    with seeded(seed):
        network = mixed_network(space, shape)
    return Supernet(network, relaxation_of(space), halves, **options)  # type: ignore[arg-type]
