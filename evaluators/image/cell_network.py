"""Networks of cells: the skeletons of NAS-Bench-201 and DARTS, for one cell or for all at once.

A skeleton is built from named edges. In a network to be trained, an edge is the operation that the
configuration names; in a supernet it is a `MixedEdge`, all operations weighed by gates.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ...common.errors import SpaceError
from ...spaces import Config, Space
from ...spaces.cell import DARTS_NODES, NAS_BENCH_201_EDGES, NONE, darts_space, nas_bench_201_space
from ...spaces.relaxation import SKIPS, relaxation_of
from .cell_operations import (
    OPERATIONS,
    FactorizedReduce,
    Norm,
    affine_norm,
    batch_norm,
    relu_conv_norm,
)

Gates = Mapping[str, Tensor]
"""The weights of each decision's options, ``[options]``."""

EdgeMaker = Callable[[str, int, int], nn.Module]
"""(name, channels, stride) -> edge."""


@dataclass(frozen=True)
class Shape:
    """How large a network of cells is.

    Attributes:
        inputs: Channels of an image.
        classes: Outputs.
        channels: Of the first cells; each reduction doubles them.
        cells: Cells in each of the three stages.
    """

    inputs: int
    classes: int
    channels: int = 8
    cells: int = 1


class PlainEdge(nn.Module):
    """One operation; gates are ignored."""

    def __init__(self, operation: nn.Module) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: Tensor, gates: Gates | None) -> Tensor:
        return cast(Tensor, self.operation(x))


class MixedEdge(nn.Module):
    """All operations of a decision, weighed by its gates.

    Args:
        name: The decision.
        options: Its operations.
        channels, stride: Of the edge.

    Attributes:
        extra: The weight of a skip connection beside the others (Chu et al., *DARTS-*, ICLR 2021).
    """

    def __init__(self, name: str, options: tuple[str, ...], channels: int, stride: int) -> None:
        super().__init__()
        self.name = name
        self.extra = 0.0
        self.places = [i for i, option in enumerate(options) if option != NONE]
        operations = [OPERATIONS[options[i]](channels, stride, batch_norm) for i in self.places]
        self.operations = nn.ModuleList(operations)
        self.skip = next(k for k, i in enumerate(self.places) if options[i] in SKIPS)

    def forward(self, x: Tensor, gates: Gates) -> Tensor:
        weights = gates[self.name].unbind()  # one backward pass for all, unlike indexing
        outputs = [operation(x) for operation in self.operations]
        mixed = sum(weights[i] * out for i, out in zip(self.places, outputs, strict=True))
        if self.extra:
            mixed = mixed + self.extra * outputs[self.skip]
        return cast(Tensor, mixed)


# NAS-Bench-201 ------------------------------------------------------------------------------------


class NasBench201Cell(nn.Module):
    """Four nodes, each the sum of its edges."""

    def __init__(self, channels: int, make_edge: EdgeMaker) -> None:
        super().__init__()
        self.edges = nn.ModuleDict({e: make_edge(e, channels, 1) for e in NAS_BENCH_201_EDGES})

    def forward(self, x: Tensor, gates: Gates | None) -> Tensor:
        nodes = [x]
        for to in (1, 2, 3):
            into = [self.edges[f"e{i}{to}"](nodes[i], gates) for i in range(to)]
            nodes.append(torch.stack(into).sum(0) if len(into) > 1 else into[0])
        return nodes[-1]


class Reduction(nn.Module):
    """NAS-Bench-201's residual block between stages: half the resolution, twice the channels."""

    def __init__(self, inputs: int, norm: Norm) -> None:
        super().__init__()
        outputs = 2 * inputs
        self.main = nn.Sequential(
            relu_conv_norm(inputs, outputs, 3, 2, norm),
            relu_conv_norm(outputs, outputs, 3, 1, norm),
        )
        pool = nn.AvgPool2d(2, 2, ceil_mode=True)
        self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.main(x) + self.shortcut(x))


class NasBench201Network(nn.Module):
    """Stem, three stages of cells with reductions between them, mean over the image, classes.

    Source: Dong, Yang, *NAS-Bench-201*, ICLR 2020, figure 1 (there 16 channels, 5 cells a stage).
    """

    def __init__(self, shape: Shape, make_edge: EdgeMaker, norm: Norm) -> None:
        super().__init__()
        channels = shape.channels
        first = nn.Conv2d(shape.inputs, channels, 3, padding=1, bias=False)
        self.stem = nn.Sequential(first, norm(channels))
        self.body = nn.ModuleList()
        for stage in range(3):
            if stage:
                self.body.append(Reduction(channels, norm))
                channels *= 2
            self.body += [NasBench201Cell(channels, make_edge) for _ in range(shape.cells)]
        self.head = nn.Sequential(norm(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, shape.classes)

    def forward(self, x: Tensor, gates: Gates | None = None) -> Tensor:
        """Scores ``[n, classes]`` of images ``[n, channels, height, width]``."""
        x = self.stem(x)
        for block in self.body:
            x = block(x) if isinstance(block, Reduction) else block(x, gates)
        return cast(Tensor, self.classifier(self.head(x).mean((2, 3))))


# DARTS --------------------------------------------------------------------------------------------


class DartsCell(nn.Module):
    """Two inputs, four nodes that are sums of edges; the nodes' concatenation is the output.

    Args:
        kind: ``normal`` or ``reduce``.
        inputs: Channels of the two cells before.
        channels: Of each node.
        halve: Whether the first input has twice the resolution of the second.
        known: The edges that there are, by name.
        make_edge: Makes them.
        norm: Normalisation.
    """

    def __init__(
        self,
        kind: str,
        inputs: tuple[int, int],
        channels: int,
        halve: bool,
        known: Container[str],
        make_edge: EdgeMaker,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.kind = kind
        first = FactorizedReduce if halve else lambda i, o, n: relu_conv_norm(i, o, 1, 1, n)
        self.first = first(inputs[0], channels, norm)
        self.second = relu_conv_norm(inputs[1], channels, 1, 1, norm)
        self.edges = nn.ModuleDict()
        for node in DARTS_NODES:
            for i in range(node):
                name = f"{kind}{node}_{i}"
                if name in known:
                    stride = 2 if kind == "reduce" and i < 2 else 1
                    self.edges[name] = make_edge(name, channels, stride)

    def forward(self, before: Tensor, last: Tensor, gates: Gates | None) -> Tensor:
        nodes = [self.first(before), self.second(last)]
        for node in DARTS_NODES:
            names = [(i, f"{self.kind}{node}_{i}") for i in range(node)]
            into = [self.edges[n](nodes[i], gates) for i, n in names if n in self.edges]
            nodes.append(torch.stack(into).sum(0))
        return torch.cat(nodes[2:], dim=1)


class DartsNetwork(nn.Module):
    """Normal cells with a reduction cell after each third of them.

    Source: Liu, Simonyan, Yang, *DARTS*, ICLR 2019 (there 20 cells of 36 channels).
    """

    def __init__(
        self, shape: Shape, known: Container[str], make_edge: EdgeMaker, norm: Norm
    ) -> None:
        super().__init__()
        stem = 3 * shape.channels
        first = nn.Conv2d(shape.inputs, stem, 3, padding=1, bias=False)
        self.stem = nn.Sequential(first, norm(stem))
        kinds = ["normal"] * shape.cells
        kinds += (["reduce"] + ["normal"] * shape.cells) * 2
        self.cells = nn.ModuleList()
        inputs, channels, halve = (stem, stem), shape.channels, False
        for kind in kinds:
            channels *= 2 if kind == "reduce" else 1
            self.cells.append(DartsCell(kind, inputs, channels, halve, known, make_edge, norm))
            inputs, halve = (inputs[1], len(DARTS_NODES) * channels), kind == "reduce"
        self.classifier = nn.Linear(inputs[1], shape.classes)

    def forward(self, x: Tensor, gates: Gates | None = None) -> Tensor:
        """Scores ``[n, classes]`` of images ``[n, channels, height, width]``."""
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last, gates)
        return cast(Tensor, self.classifier(last.mean((2, 3))))


# Both ---------------------------------------------------------------------------------------------


def cell_network(space: Space, config: Config, shape: Shape) -> nn.Module:
    """The network that a configuration names, to be trained from scratch.

    Raises:
        SpaceError: The space is not one of cells.
    """
    check_cells(space)
    picks = dict(relaxation_of(space).picks(config))

    def make_edge(name: str, channels: int, stride: int) -> nn.Module:
        return PlainEdge(OPERATIONS[picks[name]](channels, stride, affine_norm))

    return _network(space, shape, picks, make_edge, affine_norm)


def mixed_network(space: Space, shape: Shape) -> nn.Module:
    """All networks of a space of cells at once; its forward pass takes gates.

    Raises:
        SpaceError: The space is not one of cells.
    """
    check_cells(space)
    options = relaxation_of(space).decisions

    def make_edge(name: str, channels: int, stride: int) -> nn.Module:
        return MixedEdge(name, options[name], channels, stride)

    return _network(space, shape, options, make_edge, batch_norm)


def _network(
    space: Space, shape: Shape, known: Container[str], make_edge: EdgeMaker, norm: Norm
) -> nn.Module:
    if space == nas_bench_201_space():
        return NasBench201Network(shape, make_edge, norm)
    return DartsNetwork(shape, known, make_edge, norm)


def check_cells(space: Space) -> None:
    """Check that a space is one of cells that networks can be built of.

    Raises:
        SpaceError: There are none.
    """
    if space not in (nas_bench_201_space(), darts_space()):
        raise SpaceError(
            f"space {space.name!r} is not one of cells: use 'nas-bench-201' or 'darts'"
        )
