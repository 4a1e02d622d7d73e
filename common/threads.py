"""One BLAS thread where small tensors are worked on: parallelism is across trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread(device: str = "cpu") -> Iterator[None]:
    """One of PyTorch's threads inside the block; on another device than the CPU nothing changes."""
    if device != "cpu":
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
