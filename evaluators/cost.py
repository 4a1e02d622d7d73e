"""What a network costs: parameters, floating-point operations, memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.nn import MessagePassing


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, run: Callable[[], Tensor]) -> int:
    """Floating-point operations of one forward pass.

    Matrix products as PyTorch counts them, and for every message-passing layer one multiplication
    and one addition for each edge and channel of its output.

    Args:
        network: The network that ``run`` runs.
        run: Runs one forward pass.
    """
    messages = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal messages
        messages += 2 * inputs[1].shape[1] * output.shape[-1]

    layers = [m for m in network.modules() if isinstance(m, MessagePassing)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return int(counter.get_total_flops()) + messages


class PeakMemory:
    """The peak memory of training steps, in bytes.

    On a GPU what the allocator says. On a CPU, where no allocator keeps count, an exact sum that
    does not depend on the machine: parameters, gradients, two moments, and every distinct tensor
    that one step saves for its backward pass.

    Args:
        network: The network that is trained.
        device: Where.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network
        self.device = device
        self._saved: dict[int, int] = {}
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def watch(self) -> saved_tensors_hooks:
        """A context for one forward pass whose saved tensors shall be counted."""
        return saved_tensors_hooks(self._note, lambda tensor: tensor)

    def _note(self, tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            self._saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    def bytes(self) -> int:
        """The peak so far."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        weights = sum(p.numel() * p.element_size() for p in self.network.parameters())
        kept = {p.untyped_storage().data_ptr() for p in self.network.parameters()}
        activations = sum(size for key, size in self._saved.items() if key not in kept)
        return 4 * weights + activations
