"""Costs of layers that a cost table lacks: a linear model of products and memory traffic.

A layer's cost is a sum, with non-negative weights, of its multiplications, its input and output
numbers, its weights, and a constant; the weights belong to a kind of convolution (point-wise,
depth-wise) and a pair of bits, and minimise the relative error over the table. On BitFusion's 6,567
entries the latency is met within 6 % on average (33 % at most), the energy within 11 % (42 %).

`bitfusion.json` holds the weights fitted to BitFusion's table, so that small networks have costs in
which bits count, without the table.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from ...common.errors import DataError
from ...spaces.elastic import BITS, KERNELS, Geometry, Layer
from .table import COSTS, Cost, CostTable

BUNDLED = Path(__file__).with_name("bitfusion.json")
FEATURES = ("products", "inputs", "outputs", "weights", "layers")
FIXED_BITS = 8
"""Of stem and classifier, which are not searched."""

_KEY = re.compile(r"\((\d+), (\d+), (\d+), (\d+), (\d+), \d+, (\d+)\)-W(\d)A(\d)")


class LayerCostModel:
    """Costs of any convolution.

    Args:
        weights: ``[2, 5]`` by ``"pointwise-W8A8"`` and the like: rows latency and energy, columns
            `FEATURES`.
    """

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights

    def cost(self, layer: Layer, weight_bits: int, input_bits: int) -> Cost:
        """What a layer costs.

        Raises:
            DataError: The model knows no such bits.
        """
        kind = _kind(layer, weight_bits, input_bits)
        if kind not in self.weights:
            raise DataError(f"no costs of {kind}: bits are {', '.join(map(str, BITS))}")
        latency, energy = self.weights[kind] @ _features(layer)
        return Cost(float(latency), float(energy))

    def table(self, geometry: Geometry, head: Sequence[Layer], tail: Sequence[Layer]) -> CostTable:
        """A table of all layers of a geometry.

        Args:
            geometry: Whose blocks.
            head, tail: Layers before the first block and behind the last, of 8 bits.
        """

        def whole(layers: Sequence[Layer]) -> Cost:
            costs = [self.cost(layer, FIXED_BITS, FIXED_BITS) for layer in layers]
            return Cost(sum(c.latency for c in costs), sum(c.energy for c in costs))

        return CostTable.of_layers(
            layers_of(geometry), self.cost, head=whole(head), tail=whole(tail)
        )

    @classmethod
    def fit(cls, table: CostTable) -> LayerCostModel:
        """The model of a table that has many layers of each kind.

        Raises:
            DataError: It holds fewer of some kind than there are features.
        """
        groups: dict[str, list[tuple[np.ndarray, Cost]]] = {}
        for key, cost in table.entries.items():
            match = _KEY.fullmatch(key)
            if match is not None:
                inputs, outputs, size, kernel, stride, parts, w, a = map(int, match.groups())
                layer = Layer(inputs, outputs, size, kernel, stride, parts)
                groups.setdefault(_kind(layer, w, a), []).append((_features(layer), cost))
        weights = {}
        for kind, rows in groups.items():
            if len(rows) < len(FEATURES):
                raise DataError(f"{len(rows)} layers of {kind} do not tell what others cost")
            features = np.stack([row[0] for row in rows])
            weights[kind] = np.stack(
                [_fitted(features, np.array([getattr(row[1], c) for row in rows])) for c in COSTS]
            )
        return cls(weights)

    @classmethod
    def load(cls, path: str | Path = BUNDLED) -> LayerCostModel:
        """The model that `save` wrote; by default BitFusion's."""
        raw = json.loads(Path(path).read_text())
        return cls({kind: np.array(rows) for kind, rows in raw["weights"].items()})

    def save(self, path: str | Path, source: str) -> None:
        """Write the weights as JSON, with a note on their source."""
        weights = {kind: rows.tolist() for kind, rows in self.weights.items()}
        raw = {"source": source, "rows": COSTS, "columns": FEATURES, "weights": weights}
        Path(path).write_text(json.dumps(raw, indent=1) + "\n")


def layers_of(geometry: Geometry) -> list[Layer]:
    """All distinct layers that networks of a geometry may have."""
    layers: Iterable[Layer] = itertools.chain.from_iterable(
        block.layers(kernel, channels)
        for block in geometry.all_blocks
        for kernel in KERNELS
        for channels in block.channels
    )
    return list(dict.fromkeys(layers))


def _kind(layer: Layer, weight_bits: int, input_bits: int) -> str:
    return f"{'depthwise' if layer.groups > 1 else 'pointwise'}-W{weight_bits}A{input_bits}"


def _features(layer: Layer) -> np.ndarray:
    traffic = (layer.inputs * layer.size**2, layer.outputs * layer.output_size**2)
    return np.array([layer.products, *traffic, layer.weights, 1.0])


def _fitted(features: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Non-negative weights of the least relative error."""
    scale = features.max(0)
    weights, _ = nnls(features / scale / costs[:, None], np.ones(len(costs)))
    fitted: np.ndarray = weights / scale
    return fitted
