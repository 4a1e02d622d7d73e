"""Networks whose depth, kernels, widths and bits are all chosen: inverted bottlenecks in stages.

Source: Wang et al., *APQ: Joint Search for Network Architecture, Pruning and Quantization Policy*,
CVPR 2020. A stage has blocks of one width, of which the first ``depth`` are there. A block is a
point-wise convolution to its middle channels, a depth-wise one, and a point-wise one back; kernel,
middle channels, and the bits of weights and inputs of both kinds of convolution are its choices.

A `Geometry` says what there is to choose from; the published one and a small one for images of 28
or 32 pixels are made by the same code. Every point of the space is valid: a depth-wise convolution
of kernel 7 has no 4-bit inputs (no accelerator table has them), so that its bits of inputs are a
parameter of their own with two values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution

from ..common.errors import SpaceError, unknown_name
from .parameter import Condition, Config, Parameter
from .space import Space

KERNELS = (3, 5, 7)
BITS = (4, 6, 8)
ROLES = ("pointwise_weights", "pointwise_inputs", "depthwise_weights", "depthwise_inputs")
"""What has bits in a block; those of the point-wise kind serve both point-wise convolutions."""

WIDE = "_wide"
"""Ends the name of the parameter that holds the input bits of a kernel of 7."""

STEP = 8
"""Middle channels come in steps of so many, from 4 to 6 times the block's input channels."""

SHALLOWEST = 2
"""So many blocks a stage has at least, where it has as many."""


@dataclass(frozen=True)
class Layer:
    """One convolution.

    Attributes:
        inputs, outputs: Channels.
        size: Height and width of its input.
        kernel, stride, groups: As `torch.nn.Conv2d` has them; padding is half the kernel.
    """

    inputs: int
    outputs: int
    size: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    @property
    def weights(self) -> int:
        """How many weights it has."""
        return self.outputs * self.inputs // self.groups * self.kernel**2

    @property
    def output_size(self) -> int:
        """Height and width of its output."""
        return -(-self.size // self.stride)

    @property
    def products(self) -> int:
        """Multiplications for one image."""
        return self.weights * self.output_size**2


@dataclass(frozen=True)
class Block:
    """One inverted bottleneck, as far as nothing is chosen yet.

    Attributes:
        stage, place: From 0; ``place`` within the stage.
        inputs, outputs: Channels that come and go.
        size: Height and width of what comes.
        stride: Of the depth-wise convolution.
    """

    stage: int
    place: int
    inputs: int
    outputs: int
    size: int
    stride: int

    @property
    def name(self) -> str:
        """``s1b1`` is the first block of the first stage."""
        return f"s{self.stage + 1}b{self.place + 1}"

    @property
    def channels(self) -> tuple[int, ...]:
        """The middle channels to choose from."""
        return tuple(range(4 * self.inputs, 6 * self.inputs + STEP, STEP))

    def layers(self, kernel: int, channels: int) -> tuple[Layer, Layer, Layer]:
        """Its three convolutions."""
        after = -(-self.size // self.stride)
        return (
            Layer(self.inputs, channels, self.size),
            Layer(channels, channels, self.size, kernel, self.stride, channels),
            Layer(channels, self.outputs, after),
        )


@dataclass(frozen=True)
class Geometry:
    """What a space's networks have in common.

    Attributes:
        size: Height and width at which the first block enters.
        widths: Channels before the first stage and behind each.
        blocks: The most blocks of each stage.
        strides: Of the first block of each stage; the others have stride 1.

    Raises:
        SpaceError: The numbers of stages differ.
    """

    size: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.widths) - 1 == len(self.blocks) == len(self.strides):
            raise SpaceError(
                f"a geometry has {len(self.blocks)} stages, {len(self.strides)} strides and "
                f"{len(self.widths)} widths: give as many strides, and one width more"
            )

    @cached_property
    def all_blocks(self) -> tuple[Block, ...]:
        """The blocks of the deepest network, from input to output."""
        return tuple(self._blocks())

    @cached_property
    def stages(self) -> np.ndarray:
        """The stage of each block ``[b]``."""
        return np.array([block.stage for block in self.all_blocks])

    @cached_property
    def places(self) -> np.ndarray:
        """The place of each block in its stage ``[b]``."""
        return np.array([block.place for block in self.all_blocks])

    def _blocks(self) -> Iterator[Block]:
        size = self.size
        for stage, (count, stride) in enumerate(zip(self.blocks, self.strides, strict=True)):
            inputs, outputs = self.widths[stage : stage + 2]
            for place in range(count):
                yield Block(stage, place, inputs, outputs, size, 1 if place else stride)
                if not place:
                    inputs, size = outputs, -(-size // stride)

    def depths(self, stage: int) -> range:
        """How many blocks a stage may have."""
        return range(min(SHALLOWEST, self.blocks[stage]), self.blocks[stage] + 1)

    def space(self, name: str, *, bits: bool = True) -> Space:
        """The space of a name; without bits, that of the architectures alone."""
        parameters: list[Parameter] = []
        default: Config = {}
        for block in self.all_blocks:
            depths = self.depths(block.stage)
            depth = f"depth{block.stage + 1}"
            if not block.place and len(depths) > 1:
                parameters.append(Parameter(depth, IntDistribution(depths[0], depths[-1])))
                default[depth] = depths[-1]
            optional = block.place >= depths[0]
            deep = tuple(range(block.place + 1, depths[-1] + 1))
            choices, values = _choices(block, Condition(depth, deep) if optional else None, bits)
            parameters += choices
            default |= values
        return Space(name, parameters, default=default)


def _choices(block: Block, there: Condition | None, bits: bool) -> tuple[list[Parameter], Config]:
    """The parameters of a block, and the middle of each with all bits 8."""
    name, channels = block.name, block.channels
    distributions: dict[str, BaseDistribution] = {
        f"{name}_kernel": IntDistribution(KERNELS[0], KERNELS[-1], step=2),
        f"{name}_channels": IntDistribution(channels[0], channels[-1], step=STEP),
    }
    default: Config = {
        f"{name}_kernel": 5,
        f"{name}_channels": channels[len(channels) // 2],
    }
    if not bits:
        return [Parameter(n, d, there) for n, d in distributions.items()], default
    names = [f"{name}_{role}" for role in ROLES]
    any_bits = IntDistribution(BITS[0], BITS[-1], step=2)
    distributions |= dict.fromkeys(names[:-1], any_bits)
    parameters = [Parameter(n, d, there) for n, d in distributions.items()]
    narrow, wide = Condition(f"{name}_kernel", KERNELS[:-1]), Condition(f"{name}_kernel", (7,))
    parameters.append(Parameter(names[-1], any_bits, narrow))
    parameters.append(Parameter(names[-1] + WIDE, IntDistribution(6, 8, step=2), wide))
    return parameters, default | dict.fromkeys(names, 8)


PUBLISHED = Geometry(112, (16, 24, 40, 80, 96, 192, 320), (4, 4, 4, 4, 4, 1), (2, 2, 2, 1, 2, 1))
"""APQ's, for images of 224 pixels: 21 blocks."""

SMALL = Geometry(14, (8, 16, 24, 40), (4, 4, 1), (2, 1, 2))
"""For images of 28 or 32 pixels, small enough to train its largest network on one CPU core."""

GEOMETRIES = {"elastic": SMALL, "elastic-imagenet": PUBLISHED}
"""The geometry of each space of this kind, by the space's name."""


def geometry_of(space: Space) -> Geometry:
    """The geometry of an elastic space.

    Raises:
        UnknownNameError: It is none.
    """
    if space.name not in GEOMETRIES:
        raise unknown_name("elastic space", space.name, GEOMETRIES)
    return GEOMETRIES[space.name]


def elastic_space() -> Space:
    """The small space; by default all blocks, kernel 5, middle expansion, 8 bits."""
    return SMALL.space("elastic")


def elastic_imagenet_space() -> Space:
    """The published space of 21 blocks."""
    return PUBLISHED.space("elastic-imagenet")
