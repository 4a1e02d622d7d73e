"""A once-for-all network: one set of weights from which every network of a geometry is cut.

Sources: Cai et al., *Once-for-All: Train One Network and Specialize it for Efficient Deployment*,
ICLR 2020 (shared weights; smaller kernels are the middle of larger ones, transformed; channels
sorted by importance before they become elastic); Wang et al., *APQ*, CVPR 2020.

While it trains, a cut is a view of the shared weights, normalised by its own batch. What is cut out
by `OnceForAll.extract` is an ordinary network of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...spaces.elastic import KERNELS, Block, Geometry
from ...spaces.elastic_genes import Networks

LARGEST_KERNEL = KERNELS[-1]


@dataclass(frozen=True)
class Cut:
    """One architecture: which blocks there are, with which kernels and middle channels.

    Attributes:
        blocks: Columns of the geometry's blocks, from input to output.
        kernels, channels: Of each of them.
    """

    blocks: tuple[int, ...]
    kernels: tuple[int, ...]
    channels: tuple[int, ...]

    @classmethod
    def of(cls, networks: Networks, row: int = 0) -> Cut:
        """The architecture of one network."""
        blocks = tuple(networks.there[row].nonzero()[0].tolist())
        choices = networks.geometry.all_blocks
        return cls(
            blocks,
            tuple(KERNELS[networks.kernel[row, b]] for b in blocks),
            tuple(choices[b].channels[networks.channels[row, b]] for b in blocks),
        )

    @classmethod
    def largest(cls, geometry: Geometry) -> Cut:
        """Every block, with its largest kernel and most channels."""
        blocks = geometry.all_blocks
        widest = tuple(block.channels[-1] for block in blocks)
        return cls(tuple(range(len(blocks))), (LARGEST_KERNEL,) * len(blocks), widest)


class Convolution(nn.Module):
    """Convolution, normalisation and perhaps ReLU: what an extracted network is made of."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, *, groups: int = 1, relu: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out.relu_() if self.relu else out


class BottleneckBlock(nn.Module):
    """An inverted bottleneck; with a shortcut where input and output are alike."""

    def __init__(self, block: Block, kernel: int, channels: int) -> None:
        super().__init__()
        self.expand = Convolution(block.inputs, channels, 1, 1, relu=True)
        self.depthwise = Convolution(
            channels, channels, kernel, block.stride, groups=channels, relu=True
        )
        self.project = Convolution(channels, block.outputs, 1, 1, relu=False)
        self.shortcut = has_shortcut(block)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.shortcut else out


def has_shortcut(block: Block) -> bool:
    """Whether a block adds its input to its output."""
    return block.stride == 1 and block.inputs == block.outputs


class BottleneckNetwork(nn.Module):
    """An ordinary network of one architecture: stem, blocks, mean over the image, classes.

    Args:
        geometry: What it is a network of.
        cut: Its architecture.
        inputs: Channels of an image.
        classes: How many there are.
    """

    def __init__(self, geometry: Geometry, cut: Cut, inputs: int, classes: int) -> None:
        super().__init__()
        self.stem = Convolution(inputs, geometry.widths[0], 3, 2, relu=True)
        self.blocks = nn.ModuleList(
            BottleneckBlock(geometry.all_blocks[b], kernel, channels)
            for b, kernel, channels in zip(cut.blocks, cut.kernels, cut.channels, strict=True)
        )
        self.classifier = nn.Linear(geometry.widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[n, classes]`` of images ``[n, inputs, height, width]``."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return cast(Tensor, self.classifier(x.mean((2, 3))))


class OnceForAll(nn.Module):
    """The largest network of a geometry, from whose weights every other one is cut.

    Args:
        geometry: What can be cut.
        inputs: Channels of an image.
        classes: How many there are.
    """

    def __init__(self, geometry: Geometry, inputs: int, classes: int) -> None:
        super().__init__()
        self.geometry = geometry
        self.inputs = inputs
        self.classes = classes
        self.largest = Cut.largest(geometry)
        self.whole = BottleneckNetwork(geometry, self.largest, inputs, classes)
        # From a kernel to the next smaller one: the middle, transformed (the identity at first).
        self.smaller = nn.ModuleDict(
            {str(k): nn.ParameterList(_identities(geometry, k)) for k in KERNELS[:-1]}
        )

    def forward(self, x: Tensor, cut: Cut | None = None) -> Tensor:
        """Scores ``[n, classes]`` of a cut, by default the largest; normalised by this batch."""
        cut = cut or self.largest
        x = _normalised(self.whole.stem, x, self.whole.stem.conv.weight).relu_()
        for number, kernel, channels in zip(cut.blocks, cut.kernels, cut.channels, strict=True):
            x = self._block(number, x, kernel, channels)
        return cast(Tensor, self.whole.classifier(x.mean((2, 3))))

    def _block(self, number: int, x: Tensor, kernel: int, channels: int) -> Tensor:
        block = self.block(number)
        expand, depthwise, project = self.weights(number, kernel, channels)
        out = _normalised(block.expand, x, expand).relu_()
        out = _normalised(block.depthwise, out, depthwise).relu_()
        out = _normalised(block.project, out, project)
        return x + out if block.shortcut else out

    def block(self, number: int) -> BottleneckBlock:
        """A block of the largest network."""
        return cast(BottleneckBlock, self.whole.blocks[number])

    def weights(self, number: int, kernel: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
        """The three weights of a block that is cut to a kernel and its first channels."""
        block = self.block(number)
        depthwise = block.depthwise.conv.weight[:channels]
        for size in KERNELS[-2::-1]:
            if size < kernel:
                break
            middle = depthwise[:, :, 1:-1, 1:-1].flatten(1)
            matrix = cast(nn.ParameterList, self.smaller[str(size)])[number]
            depthwise = (middle @ matrix).view(channels, 1, size, size)
        return (
            block.expand.conv.weight[:channels],
            depthwise,
            block.project.conv.weight[:, :channels],
        )

    @torch.no_grad()
    def extract(self, cut: Cut) -> BottleneckNetwork:
        """An ordinary network with a cut's weights; its running statistics are not set yet."""
        network = BottleneckNetwork(self.geometry, cut, self.inputs, self.classes)
        network.to(self.whole.classifier.weight.device)
        network.stem.load_state_dict(self.whole.stem.state_dict())
        network.classifier.load_state_dict(self.whole.classifier.state_dict())
        for position, number in enumerate(cut.blocks):
            channels = cut.channels[position]
            source, target = self.block(number), cast(BottleneckBlock, network.blocks[position])
            parts = ((p, getattr(target, p)) for p in ("expand", "depthwise", "project"))
            weights = self.weights(number, cut.kernels[position], channels)
            for (name, part), weight in zip(parts, weights, strict=True):
                part.conv.weight.copy_(weight)
                norm = getattr(source, name).norm
                part.norm.weight.copy_(norm.weight[: len(part.norm.weight)])
                part.norm.bias.copy_(norm.bias[: len(part.norm.bias)])
        return network

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Put the middle channels of each block in the order of their importance.

        The network stays the same function; its first channels then are those that count most (the
        sum of the absolute weights that read them).
        """
        for module in self.whole.blocks:
            block = cast(BottleneckBlock, module)
            order = block.project.conv.weight.abs().sum((0, 2, 3)).argsort(descending=True)
            block.project.conv.weight.copy_(block.project.conv.weight[:, order])
            for part in (block.expand, block.depthwise):
                part.conv.weight.copy_(part.conv.weight[order])
                for tensor in (part.norm.weight, part.norm.bias):
                    tensor.copy_(tensor[order])


def channels_last(network: nn.Module) -> None:
    """Lay out a network so that depth-wise convolutions on a CPU take half the time."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _normalised(part: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    """A convolution with some of a part's weights, normalised by the batch."""
    groups = weight.shape[0] if part.conv.groups > 1 else 1
    out = functional.conv2d(x, weight, None, part.conv.stride, weight.shape[-1] // 2, groups=groups)
    count = weight.shape[0]
    scale, shift = part.norm.weight[:count], part.norm.bias[:count]
    return functional.batch_norm(out, None, None, scale, shift, training=True, eps=part.norm.eps)


def _identities(geometry: Geometry, kernel: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.eye(kernel**2)) for _ in geometry.all_blocks]
