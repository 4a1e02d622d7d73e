"""Digests that tell a task's data from other data of the same name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def digest_of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Sixteen hexadecimal digits of the arrays' types, shapes and values, their order included."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def digest_of_tensors(tensors: Iterable[Tensor]) -> str:
    """The same for tensors, on any device."""
    return digest_of_arrays(_array(tensor.detach().cpu()) for tensor in tensors)


def _array(tensor: Tensor) -> np.ndarray:
    # NumPy has no such numbers; single precision holds them all.
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
