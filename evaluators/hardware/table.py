"""A table of what quantised convolutions cost, in the JSON that APQ's release has.

A key is ``"(inputs, outputs, size, kernel, stride, padding, groups)-W{bits}A{bits}"``, its entry
has ``latency`` in milliseconds and ``energy`` in millijoules (``null`` where it is not known);
``head`` and ``tail`` stand for what comes before the first block and behind the last.

Source: Wang et al., *APQ*, CVPR 2020, whose table is of the BitFusion accelerator.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import DataError
from ...spaces.elastic import BITS, KERNELS, Layer

HEAD, TAIL = "head", "tail"
COSTS = ("latency", "energy")


@dataclass(frozen=True)
class Cost:
    """What a layer or a network costs for one image: latency in ms, energy in mJ (or NaN)."""

    latency: float
    energy: float = math.nan


ABSENT = Cost(math.nan, math.nan)


class CostTable:
    """Costs by layer and bits.

    Args:
        entries: By key, ``head`` and ``tail`` among them.

    Raises:
        DataError: There is no ``head`` or no ``tail``.

    Example:
        >>> table = CostTable.load("latency_energy.json")  # doctest: +SKIP
        >>> table.cost(Layer(16, 64, 112), 8, 8).latency  # doctest: +SKIP
        0.5517...
    """

    def __init__(self, entries: Mapping[str, Cost]) -> None:
        for part in (HEAD, TAIL):
            if part not in entries:
                raise DataError(f"a cost table has no {part!r}: say what that part costs")
        self.entries = dict(entries)

    @classmethod
    def of_layers(
        cls, layers: Iterable[Layer], cost: Callable[[Layer, int, int], Cost], **ends: Cost
    ) -> CostTable:
        """A table of layers with all weight and input bits.

        Args:
            layers: Without head and tail.
            cost: Says what a layer costs with some bits; kernels of 7 have no 4-bit inputs.
            **ends: ``head`` and ``tail``.
        """
        entries = {
            key_of(layer, w, a): cost(layer, w, a)
            for layer in layers
            for w, a in itertools.product(BITS, BITS)
            if layer.kernel < KERNELS[-1] or a > BITS[0]
        }
        return cls(entries | ends)

    def cost(self, layer: Layer, weight_bits: int, input_bits: int) -> Cost:
        """What a layer costs; NaN where the table lacks it, so that the choice is invalid."""
        return self.entries.get(key_of(layer, weight_bits, input_bits), ABSENT)

    @property
    def digest(self) -> str:
        """A digest of the table."""
        text = json.dumps(sorted((key, str(cost)) for key, cost in self.entries.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def head(self) -> Cost:
        """The layers before the first block."""
        return self.entries[HEAD]

    @property
    def tail(self) -> Cost:
        """The layers behind the last block."""
        return self.entries[TAIL]

    @classmethod
    def load(cls, path: str | Path) -> CostTable:
        """Read a table.

        Raises:
            DataError: The file cannot be read or is no table.
        """
        try:
            raw = json.loads(Path(path).read_text())
            entries = {key: Cost(*(_number(row.get(c)) for c in COSTS)) for key, row in raw.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f"cannot read the cost table {str(path)!r}: {error}: give a JSON file of "
                '{"KEY": {"latency": ms, "energy": mJ}}'
            ) from None
        return cls(entries)

    def save(self, path: str | Path) -> None:
        """Write the table as JSON.

        Raises:
            DataError: The file cannot be written.
        """
        rows = {
            key: {c: None if math.isnan(v := getattr(cost, c)) else v for c in COSTS}
            for key, cost in self.entries.items()
        }
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(json.dumps(rows, indent=0) + "\n")
        except OSError as error:
            raise DataError(f"cannot write the cost table: {error}: give another file") from None


def key_of(layer: Layer, weight_bits: int, input_bits: int) -> str:
    """The key of a layer in the JSON."""
    shape = (layer.inputs, layer.outputs, layer.size, layer.kernel, layer.stride)
    return f"{(*shape, layer.kernel // 2, layer.groups)}-W{weight_bits}A{input_bits}"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
