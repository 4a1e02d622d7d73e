"""Many elastic networks at once, as arrays: what evolution, cost tables and predictors work on.

A network keeps genes for blocks beyond its depth, so that a depth gene can grow again; whatever is
asked of it (costs, encodings, equality) does not see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common.errors import ConfigurationError
from .elastic import BITS, KERNELS, ROLES, STEP, WIDE, Geometry
from .parameter import Config

EIGHT = BITS.index(8)
SEVEN = KERNELS.index(7)
INPUTS = ROLES.index("depthwise_inputs")
GENES = ("depth", "kernel", "channels", "bits")
"""The arrays of `Networks`."""


@dataclass(frozen=True, eq=False)
class Networks:
    """``n`` networks of one geometry with ``b`` blocks in ``s`` stages; all arrays are int64.

    Attributes:
        geometry: What they are networks of.
        depth: ``[n, s]`` blocks that are there.
        kernel: ``[n, b]`` indices into `KERNELS`.
        channels: ``[n, b]`` indices into each block's own channels.
        bits: ``[n, b, 4]`` indices into `BITS`, in the order of `ROLES`.
    """

    geometry: Geometry
    depth: np.ndarray
    kernel: np.ndarray
    channels: np.ndarray
    bits: np.ndarray

    def __len__(self) -> int:
        return len(self.depth)

    def __getitem__(self, index: np.ndarray | slice | Sequence[int]) -> Networks:
        """The networks at an index ``[k]``."""
        return Networks(self.geometry, *(getattr(self, name)[index].copy() for name in GENES))

    @property
    def there(self) -> np.ndarray:
        """``[n, b]`` bool: the blocks that the depth leaves."""
        return np.asarray(self.geometry.places < self.depth[:, self.geometry.stages])

    @property
    def valid(self) -> np.ndarray:
        """``[n]`` bool: no kernel of 7 has 4-bit inputs."""
        lacking = (self.kernel == SEVEN) & (self.bits[:, :, INPUTS] == 0) & self.there
        return np.asarray(~lacking.any(1))

    def mended(self) -> Networks:
        """With 6-bit inputs for a kernel of 7 that had 4-bit ones."""
        bits = self.bits.copy()
        wide = self.kernel == SEVEN
        bits[:, :, INPUTS] = np.where(wide, np.maximum(bits[:, :, INPUTS], 1), bits[:, :, INPUTS])
        return Networks(self.geometry, self.depth, self.kernel, self.channels, bits)

    def keys(self) -> list[bytes]:
        """One key a network; equal where the networks are, whatever their hidden genes."""
        there = self.there
        rows = [self.depth, (self.kernel + 1) * there, (self.channels + 1) * there]
        rows.append(((self.bits + 1) * there[:, :, None]).reshape(len(self), -1))
        joined = np.ascontiguousarray(np.concatenate(rows, 1).astype(np.uint8))
        return [row.tobytes() for row in joined]

    # Configurations -----------------------------------------------------------------------------

    @classmethod
    def of(cls, geometry: Geometry, configs: Sequence[Config]) -> Networks:
        """The networks of configurations; bits that a configuration lacks are 8.

        Raises:
            ConfigurationError: A block that is there has no kernel or channels.
        """
        networks = cls.default(geometry, len(configs))
        for row, config in enumerate(configs):
            for stage in range(len(geometry.blocks)):
                networks.depth[row, stage] = config.get(f"depth{stage + 1}", geometry.blocks[stage])
            for column, block in enumerate(geometry.all_blocks):
                if block.place >= networks.depth[row, block.stage]:
                    continue
                try:
                    kernel, channels = (config[f"{block.name}_{p}"] for p in ("kernel", "channels"))
                except KeyError as error:
                    raise ConfigurationError(
                        f"parameter {error} is missing: block {block.name} is within the depth"
                    ) from None
                networks.kernel[row, column] = KERNELS.index(int(kernel))
                networks.channels[row, column] = (int(channels) - block.channels[0]) // STEP
                for k, role in enumerate(ROLES):
                    name = f"{block.name}_{role}"
                    bits = config.get(name, config.get(name + WIDE, 8))
                    networks.bits[row, column, k] = BITS.index(int(bits))
        return networks

    @classmethod
    def default(cls, geometry: Geometry, count: int) -> Networks:
        """Copies of the deepest network with the smallest kernels and widths and 8 bits."""
        blocks = len(geometry.all_blocks)
        return cls(
            geometry,
            np.tile(np.array(geometry.blocks), (count, 1)),
            np.zeros((count, blocks), dtype=np.int64),
            np.zeros((count, blocks), dtype=np.int64),
            np.full((count, blocks, len(ROLES)), EIGHT),
        )

    @classmethod
    def smallest(cls, geometry: Geometry) -> Networks:
        """The one network of least depth, kernels, channels and bits."""
        networks = cls.default(geometry, 1)
        networks.depth[:] = [geometry.depths(stage)[0] for stage in range(len(geometry.blocks))]
        networks.bits[:] = 0
        return networks

    @classmethod
    def largest(cls, geometry: Geometry) -> Networks:
        """The one network of most depth, kernels and channels, of 8 bits."""
        networks = cls.default(geometry, 1)
        networks.kernel[:] = SEVEN
        networks.channels[:] = [len(block.channels) - 1 for block in geometry.all_blocks]
        return networks

    @classmethod
    def sample(cls, geometry: Geometry, count: int, rng: np.random.Generator) -> Networks:
        """Valid networks, every gene uniform."""
        depths = [rng.choice(geometry.depths(s), count) for s in range(len(geometry.blocks))]
        widths = [rng.integers(len(block.channels), size=count) for block in geometry.all_blocks]
        blocks = len(widths)
        return cls(
            geometry,
            np.stack(depths, 1),
            rng.integers(len(KERNELS), size=(count, blocks)),
            np.stack(widths, 1),
            rng.integers(len(BITS), size=(count, blocks, len(ROLES))),
        ).mended()

    def configs(self, *, bits: bool = True) -> list[Config]:
        """Configurations of the geometry's space, with bits or without."""
        return [self._config(row, bits) for row in range(len(self))]

    def _config(self, row: int, bits: bool) -> Config:
        config: Config = {}
        there = self.there[row]
        for column, block in enumerate(self.geometry.all_blocks):
            if not block.place and len(self.geometry.depths(block.stage)) > 1:
                config[f"depth{block.stage + 1}"] = int(self.depth[row, block.stage])
            if not there[column]:
                continue
            kernel = KERNELS[self.kernel[row, column]]
            config[f"{block.name}_kernel"] = kernel
            config[f"{block.name}_channels"] = block.channels[self.channels[row, column]]
            for k, role in enumerate(ROLES if bits else ()):
                wide = WIDE if kernel == 7 and k == INPUTS else ""
                config[f"{block.name}_{role}{wide}"] = BITS[self.bits[row, column, k]]
        return config


def joined(parts: Sequence[Networks]) -> Networks:
    """The networks of several groups in one."""
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in GENES)
    return Networks(parts[0].geometry, *arrays)
