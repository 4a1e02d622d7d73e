"""Residual networks from whose convolutions any channels can be removed.

A stream of channels runs through each stage; blocks add to it. A pruned network holds the channels
that are left, nothing else: a stream's channel is there as long as one convolution writes to it.

Source: He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016 (basic blocks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

Kept = Mapping[str, Sequence[int]]
"""The channels of each convolution that are left, by its name, ascending."""


@dataclass(frozen=True)
class ResidualShape:
    """How large a whole network is.

    Attributes:
        inputs: Channels of an image.
        classes: Outputs.
        widths: Channels of each stage; each after the first halves the resolution.
        blocks: In each stage.
    """

    inputs: int
    classes: int
    widths: tuple[int, ...] = (8, 16, 32)
    blocks: int = 1

    def all_channels(self) -> dict[str, list[int]]:
        """Every channel of every convolution, in the order of the network."""
        channels = {"stem": list(range(self.widths[0]))}
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                names = ["first", "second"] + (["shortcut"] if stage and not block else [])
                channels |= {f"block{stage}_{block}_{name}": list(range(width)) for name in names}
        return channels


class Convolution(nn.Module):
    """A convolution and its normalisation.

    With running statistics the normalisation has a scale and a shift of its own. Without, it is
    that of a search: a gate is the only scale of a channel, so that nothing can make up for a gate
    that shrinks, and it takes the shift with it.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, running: bool) -> None:
        super().__init__()
        self.weights = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=running, track_running_stats=running)
        self.shift = None if running else nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, gate: Tensor | None) -> Tensor:
        out: Tensor = self.norm(self.weights(x))
        if self.shift is not None:
            out = out + self.shift[:, None, None]
        return out if gate is None else out * gate[:, None, None]

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift ``[outputs]`` after normalisation, without a gate."""
        if self.shift is None:
            return self.norm.weight, self.norm.bias
        return torch.ones_like(self.shift), self.shift


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut.

    Args:
        name: What the names of its convolutions begin with.
        live: The stream's channels on the way in.
        kept: The channels of each convolution.
        stride: Of the first convolution and of the shortcut.
        running: Whether normalisation keeps running statistics.

    Attributes:
        live: The stream's channels on the way out.
    """

    def __init__(
        self, name: str, live: Sequence[int], kept: Kept, stride: int, running: bool
    ) -> None:
        super().__init__()
        self.name = name
        first, second = kept[f"{name}_first"], kept[f"{name}_second"]
        self.first = Convolution(len(live), len(first), 3, stride, running)
        self.second = Convolution(len(first), len(second), 3, 1, running)
        self.shortcut: Convolution | None = None
        base = live
        if f"{name}_shortcut" in kept:
            base = kept[f"{name}_shortcut"]
            self.shortcut = Convolution(len(live), len(base), 1, stride, running)
        self.live = sorted({*base, *second})
        position = {channel: i for i, channel in enumerate(self.live)}
        for label, channels in (("base", base), ("added", second)):
            index = torch.tensor([position[channel] for channel in channels])
            self.register_buffer(label, index, persistent=False)

    def forward(self, x: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        out = self.first(x, gates.get(f"{self.name}_first")).relu()
        out = self.second(out, gates.get(f"{self.name}_second"))
        if self.shortcut is not None:
            x = self.shortcut(x, gates.get(f"{self.name}_shortcut"))
        stream = out.new_zeros(len(out), len(self.live), *out.shape[2:])
        stream = stream.index_add(1, cast(Tensor, self.base), x)
        joined: Tensor = stream.index_add(1, cast(Tensor, self.added), out)
        return joined.relu()


class ResidualNetwork(nn.Module):
    """Stem, stages of blocks, mean over the image, classes.

    Args:
        shape: The whole network.
        kept: The channels that are left; by default all.
        running: Whether normalisation keeps running statistics.
    """

    def __init__(
        self, shape: ResidualShape, kept: Kept | None = None, *, running: bool = True
    ) -> None:
        super().__init__()
        self.shape = shape
        self.kept: Kept = kept or shape.all_channels()
        self.stem = Convolution(shape.inputs, len(self.kept["stem"]), 3, 1, running)
        self.blocks = nn.ModuleList()
        live: Sequence[int] = self.kept["stem"]
        for stage in range(len(shape.widths)):
            for number in range(shape.blocks):
                stride = 2 if stage and not number else 1
                name = f"block{stage}_{number}"
                block = ResidualBlock(name, live, self.kept, stride, running)
                self.blocks.append(block)
                live = block.live
        self.classifier = nn.Linear(len(live), shape.classes)

    def forward(self, x: Tensor, gates: Mapping[str, Tensor] | None = None) -> Tensor:
        """Scores ``[n, classes]``; gates are ``[channels]`` by convolution, applied where given."""
        gates = gates or {}
        x = self.stem(x, gates.get("stem")).relu()
        for block in self.blocks:
            x = block(x, gates)
        return cast(Tensor, self.classifier(x.mean((2, 3))))

    def convolutions(self) -> dict[str, Convolution]:
        """By the names that `Kept` has."""
        by_name = {"stem": self.stem}
        for block in self.blocks:
            assert isinstance(block, ResidualBlock)
            for part in ("first", "second", "shortcut"):
                if getattr(block, part) is not None:
                    by_name[f"{block.name}_{part}"] = getattr(block, part)
        return by_name


def flops(shape: ResidualShape, kept: Kept, size: int) -> int:
    """Floating-point operations of one image of ``size`` pixels: products and sums.

    The same that `cost.count_flops` counts on the built network.
    """
    side = size
    total = 2 * 9 * shape.inputs * len(kept["stem"]) * side**2
    live: set[int] = set(kept["stem"])
    for stage in range(len(shape.widths)):
        for number in range(shape.blocks):
            name = f"block{stage}_{number}"
            side = -(-side // 2) if stage and not number else side
            first, second = kept[f"{name}_first"], kept[f"{name}_second"]
            products = 9 * len(live) * len(first) + 9 * len(first) * len(second)
            if f"{name}_shortcut" in kept:
                base = set(kept[f"{name}_shortcut"])
                products += len(live) * len(base)
                live = base
            live = live | set(second)
            total += 2 * products * side**2
    return total + 2 * len(live) * shape.classes


@torch.no_grad()
def prune(
    network: ResidualNetwork, kept: Kept, gates: Mapping[str, Tensor] | None = None
) -> ResidualNetwork:
    """A smaller network with the weights of the channels that are left.

    Args:
        network: A whole one.
        kept: What is left.
        gates: ``[channels]`` by convolution; they are multiplied into the normalisation.

    Returns:
        The pruned network; its running statistics have to be learned again.
    """
    shape = network.shape
    pruned = ResidualNetwork(shape, kept)
    device = network.classifier.weight.device
    whole, small = network.convolutions(), pruned.convolutions()
    live: Sequence[int] = kept["stem"]
    inputs: dict[str, Sequence[int]] = {"stem": range(shape.inputs)}
    for block in cast(Any, pruned.blocks):
        inputs[f"{block.name}_first"] = inputs[f"{block.name}_shortcut"] = live
        inputs[f"{block.name}_second"] = kept[f"{block.name}_first"]
        live = block.live
    for name, convolution in small.items():
        out = torch.tensor(kept[name], device=device)
        into = torch.tensor(inputs[name], device=device)
        convolution.weights.weight.copy_(whole[name].weights.weight[out][:, into])
        gate = torch.ones(len(out), device=device) if gates is None else gates[name][out]
        scale, shift = whole[name].affine()
        convolution.norm.weight.copy_(scale[out] * gate)
        convolution.norm.bias.copy_(shift[out] * gate)
    pruned.classifier.weight.copy_(network.classifier.weight[:, torch.tensor(live, device=device)])
    pruned.classifier.bias.copy_(network.classifier.bias)
    return pruned.to(device)
