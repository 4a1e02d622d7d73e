"""What a network costs: parameters, floating-point operations, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)
from torch_geometric.nn import MessagePassing


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(run: Callable[[], Tensor], network: nn.Module) -> int:
    """Floating-point operations of one forward pass.

    Matrix products, attention's among them; sparse ones by their stored entries. Where messages are
    gathered and scattered instead, one multiplication and one addition for each number of each
    message.

    Args:
        run: Runs one forward pass.
        network: The network that ``run`` runs.
    """
    messages = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], message: Tensor) -> None:
        nonlocal messages
        messages += 2 * message.numel()

    layers: list[Any] = [m for m in network.modules() if isinstance(m, MessagePassing)]
    hooks = [layer.register_message_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=_PRODUCTS) as counter:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return int(counter.get_total_flops()) + messages


def _product(left: Tensor, right: Tensor, *rest: Any, **options: Any) -> int:
    """Twice the multiplications of ``left @ right``, where ``left`` may be sparse."""
    entries = left._nnz() if left.layout == torch.sparse_csr else left.numel()
    return 2 * entries * right.shape[1]


def _sum_and_product(bias: Tensor, left: Tensor, right: Tensor, *rest: Any, **options: Any) -> int:
    return _product(left, right)


_product._get_raw = True  # type: ignore[attr-defined]  # tensors, not shapes: the layout counts
_sum_and_product._get_raw = True  # type: ignore[attr-defined]


def _attention(query: Any, key: Any, value: Any, *args: Any, **options: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(
    gradient: Any, query: Any, key: Any, value: Any, *args: Any, **options: Any
) -> int:
    flops = sdpa_backward_flop_count(gradient, query, key, value)  # type: ignore[no-untyped-call]
    return int(flops)


ATTENTION: dict[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""The counter knows a GPU's attention, but not a CPU's."""


_PRODUCTS: dict[Any, Any] = {
    torch.ops.aten.mm: _product,
    torch.ops.aten.addmm: _sum_and_product,
    torch.ops.aten._sparse_mm_reduce_impl: _product,
    **ATTENTION,
}


class PeakMemory:
    """The peak memory of training, in bytes.

    On a GPU what the allocator says. On a CPU, where no allocator keeps count, a sum that does not
    depend on the machine: parameters, gradients, the optimiser's state, and every distinct tensor
    that a watched forward pass saves for its backward pass.

    Args:
        network: The network that is trained.
        optimizer: What trains it.
        device: Where.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.device = device
        self._saved: dict[int, int] = {}
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """A context for one forward pass whose saved tensors are counted."""
        saved = self._saved
        alive: list[Tensor] = []  # a freed storage's address would be given out again

        def note(tensor: Tensor) -> Tensor:
            if tensor.layout == torch.strided:
                storage = tensor.untyped_storage()
                saved[storage.data_ptr()] = storage.nbytes()
            # An output that is saved as it is would hold its own graph, which would never be freed.
            alive.append(tensor.detach())
            return alive[-1]

        try:
            with saved_tensors_hooks(note, lambda tensor: tensor):
                yield
        finally:
            alive.clear()  # the graph's nodes hold the hook, and it this list

    def bytes(self) -> int:
        """The peak so far; after the first step the optimiser's state is there, too."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        weights = list(self.network.parameters())
        states = [s for state in self.optimizer.state.values() for s in state.values()]
        tensors = [s for s in states if isinstance(s, Tensor)]
        of_weights = {p.untyped_storage().data_ptr() for p in weights}
        activations = sum(size for key, size in self._saved.items() if key not in of_weights)
        return 2 * sum(map(_bytes, weights)) + sum(map(_bytes, tensors)) + activations


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
