"""What whole networks cost: sums over blocks, for many networks at once.

Latency and energy come from a table of layers; parameters, floating-point operations and the size
of the packed weights are counted. All are additive over blocks, so that each block's costs stand in
two small arrays (point-wise and depth-wise convolutions) that are looked up by its genes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...common.errors import ConfigurationError
from ...spaces.elastic import BITS, KERNELS, Geometry, Layer
from ...spaces.elastic_genes import Networks
from .table import CostTable

UNITS = {"latency": "ms", "energy": "mJ", "size": "B", "parameters": "", "flops": ""}
"""What each cost is measured in."""

SCALES = 8
"""Bytes beside the weights of each output channel: a factor and a shift of float32."""

RANGES = 12
"""Bytes of each layer: the scale of its weights, scale and zero point of its inputs."""


class NetworkCosts:
    """The costs of the networks of one geometry, for one image.

    Args:
        geometry: What they are networks of.
        table: Latency and energy of its layers.
        head, tail: The layers that every network has, of 8 bits (those of the tail with a bias
            instead of normalisation); their latency and energy are the table's ``head`` and
            ``tail``.

    Attributes:
        names: The costs there are; ``energy`` is missing where the table's head has none.

    Raises:
        ConfigurationError: The table lacks layers of the geometry, or a cost is below 0.
    """

    def __init__(
        self,
        geometry: Geometry,
        table: CostTable,
        head: Sequence[Layer] = (),
        tail: Sequence[Layer] = (),
    ) -> None:
        self.geometry = geometry
        self.names = tuple(n for n in UNITS if n != "energy" or not np.isnan(table.head.energy))
        self._fixed = {
            "latency": table.head.latency + table.tail.latency,
            "energy": table.head.energy + table.tail.energy,
            "size": sum(map(_eight_bits, (*head, *tail))),
            "parameters": sum(map(_parameters, head)) + sum(t.weights + t.outputs for t in tail),
            "flops": sum(2.0 * layer.products for layer in (*head, *tail)),
        }
        self._points: dict[str, np.ndarray] = {}
        self._depths: dict[str, np.ndarray] = {}
        for name in self.names:
            cost = _by_layer(name, table)
            self._points[name], self._depths[name] = _arrays(geometry, cost)
        self._check()

    def _check(self) -> None:
        for name in (n for n in ("latency", "energy") if n in self.names):
            parts = {"head and tail": np.array([self._fixed[name]])}
            for b, block in enumerate(self.geometry.all_blocks):
                count = len(block.channels)
                depths = self._depths[name][b, :, :count].copy()
                depths[-1, :, :, 0] = 0.0  # kernel 7 with 4-bit inputs is no choice
                entries = [self._points[name][b, :count].ravel(), depths.ravel()]
                parts[f"layers of block {block.name}"] = np.concatenate(entries)
            for part, costs in parts.items():
                if not (np.isfinite(costs).all() and (costs >= 0).all()):
                    raise ConfigurationError(
                        f"the cost table lacks the {name} of {part}, or has a number below 0 "
                        "there: make one for these images, `bequest cost-table` does"
                    )

    def __call__(self, networks: Networks, names: Sequence[str] | None = None) -> np.ndarray:
        """Costs ``[n, k]`` by name, by default all of `names`; NaN for an invalid network."""
        return np.stack([self.total(networks, name) for name in names or self.names], 1)

    def total(self, networks: Networks, name: str) -> np.ndarray:
        """One cost ``[n]``."""
        return np.asarray(self._fixed[name] + self.by_block(networks, name).sum(1))

    def by_block(self, networks: Networks, name: str) -> np.ndarray:
        """One cost of each block ``[n, b]``; 0 where a block is not there."""
        bits, block = networks.bits, np.arange(networks.kernel.shape[1])
        points = self._points[name][block, networks.channels, bits[:, :, 0], bits[:, :, 1]]
        depths = self._depths[name][
            block, networks.kernel, networks.channels, bits[:, :, 2], bits[:, :, 3]
        ]
        return np.where(networks.there, points + depths, 0.0)

    def smallest(self, name: str) -> float:
        """The least that a network of the geometry can cost."""
        total, blocks = self._fixed[name], self.geometry.all_blocks
        for b, block in enumerate(blocks):
            if block.place in range(self.geometry.depths(block.stage)[0]):
                count = len(block.channels)
                points = self._points[name][b, :count].min((1, 2))
                depths = np.nanmin(self._depths[name][b, :, :count], (0, 2, 3))
                total += float((points + depths).min())
        return total

    def largest(self, name: str) -> float:
        """The most that a network of the geometry can cost."""
        total = self._fixed[name]
        for b, block in enumerate(self.geometry.all_blocks):
            count = len(block.channels)
            points = self._points[name][b, :count].max((1, 2))
            depths = np.nanmax(self._depths[name][b, :, :count], (0, 2, 3))
            total += float((points + depths).max())
        return total


Costing = Callable[[Layer, int, int], float]


def _by_layer(name: str, table: CostTable) -> Costing:
    """What one layer costs: (layer, weight bits, input bits)."""
    if name in ("latency", "energy"):
        return lambda layer, w, a: float(getattr(table.cost(layer, w, a), name))
    if name == "size":
        return lambda layer, w, a: float(packed_bytes(layer, w))
    if name == "parameters":
        return lambda layer, w, a: float(_parameters(layer))
    return lambda layer, w, a: 2.0 * layer.products


def packed_bytes(layer: Layer, bits: int) -> int:
    """Bytes of a layer with packed weights, folded normalisation and the ranges of its numbers."""
    return -(-layer.weights * bits // 8) + SCALES * layer.outputs + RANGES


def _eight_bits(layer: Layer) -> int:
    return packed_bytes(layer, 8)


def _parameters(layer: Layer) -> int:
    return layer.weights + 2 * layer.outputs


def _arrays(geometry: Geometry, cost: Costing) -> tuple[np.ndarray, np.ndarray]:
    """Point-wise costs ``[b, c, 3, 3]`` and depth-wise ones ``[b, 3, c, 3, 3]``.

    NaN where a block has fewer channels to choose from than the widest has.
    """
    blocks, levels = geometry.all_blocks, len(BITS)
    widest = max(len(block.channels) for block in blocks)
    points = np.full((len(blocks), widest, levels, levels), np.nan)
    depths = np.full((len(blocks), len(KERNELS), widest, levels, levels), np.nan)
    pairs = [(i, j, w, a) for i, w in enumerate(BITS) for j, a in enumerate(BITS)]
    for b, block in enumerate(blocks):
        for c, channels in enumerate(block.channels):
            for k, kernel in enumerate(KERNELS):
                up, middle, down = block.layers(kernel, channels)
                for i, j, w, a in pairs:
                    depths[b, k, c, i, j] = cost(middle, w, a)
                    if not k:
                        points[b, c, i, j] = cost(up, w, a) + cost(down, w, a)
    return points, depths
