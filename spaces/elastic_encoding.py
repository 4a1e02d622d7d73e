"""The published encoding of elastic networks: one-hot kernels and channels, then one-hot bits.

On the published geometry 63 + 457 = 520 columns say the architecture and 252 the bits. A block
beyond the depth is all zero, by which decoding knows the depth.
"""

from __future__ import annotations

import numpy as np

from ..common.errors import ConfigurationError
from .elastic import BITS, KERNELS, ROLES, Geometry
from .elastic_genes import Networks


def widths(geometry: Geometry) -> tuple[int, int]:
    """How many columns say the architecture and how many the bits."""
    blocks = geometry.all_blocks
    channels = sum(len(block.channels) for block in blocks)
    return len(KERNELS) * len(blocks) + channels, len(BITS) * len(ROLES) * len(blocks)


def encode(networks: Networks) -> tuple[np.ndarray, np.ndarray]:
    """Architectures ``[n, a]`` and bits ``[n, q]``, float32 zeros and ones."""
    there = networks.there[:, :, None]
    kernels = _one_hot(networks.kernel, len(KERNELS)) * there
    parts = [kernels.reshape(len(networks), -1)]
    for column, block in enumerate(networks.geometry.all_blocks):
        hot = _one_hot(networks.channels[:, column], len(block.channels))
        parts.append(hot * there[:, column])
    bits = _one_hot(networks.bits, len(BITS)) * there[:, :, :, None]
    return np.concatenate(parts, 1), bits.reshape(len(networks), -1)


def decode(geometry: Geometry, architecture: np.ndarray, bits: np.ndarray) -> Networks:
    """The networks that `encode` wrote; genes of blocks that are not there are the default's.

    Raises:
        ConfigurationError: The columns are not as many as the geometry has.
    """
    shape = (architecture.shape[1], bits.shape[1])
    if shape != widths(geometry):
        raise ConfigurationError(
            f"an encoding has {shape[0]} + {shape[1]} columns: this geometry has "
            "{} + {}".format(*widths(geometry))
        )
    blocks = geometry.all_blocks
    count = len(architecture)
    hot = architecture[:, : len(KERNELS) * len(blocks)].reshape(count, len(blocks), -1)
    there = np.asarray(hot.any(2))
    networks = Networks.default(geometry, count)
    networks.kernel[:] = np.where(there, hot.argmax(2), networks.kernel)
    start = len(KERNELS) * len(blocks)
    for column, block in enumerate(blocks):
        end = start + len(block.channels)
        networks.channels[:, column] = architecture[:, start:end].argmax(1)
        start = end
    chosen = bits.reshape(count, len(blocks), len(ROLES), len(BITS)).argmax(3)
    networks.bits[:] = np.where(there[:, :, None], chosen, networks.bits)
    for stage in range(len(geometry.blocks)):
        columns = [i for i, block in enumerate(blocks) if block.stage == stage]
        networks.depth[:, stage] = there[:, columns].sum(1)
    return networks


def _one_hot(index: np.ndarray, count: int) -> np.ndarray:
    hot: np.ndarray = np.eye(count, dtype=np.float32)[index]
    return hot
