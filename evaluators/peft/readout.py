"""How a backbone's hidden states become one vector of an input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .arch import ArchSpec


class Readout(nn.Module):
    """Makes one vector of an input from the backbone's hidden states; the mean or first token.

    Attributes:
        width: The vector's length.
        needs_states: Whether `forward` gets all hidden states, ``L + 1`` of ``[B, S, D]``, or the
            last one alone.
    """

    needs_states = False

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        self.width = arch.width
        self.class_token = arch.class_token

    def forward(self, states: list[Tensor], mask: Tensor | None) -> Tensor:
        """``[B, width]``, from states and the mask ``[B, S]`` of what is no padding."""
        return pool(states[-1], mask, class_token=self.class_token)


def pool(states: Tensor, mask: Tensor | None, *, class_token: bool = False) -> Tensor:
    """``[B, S, D]`` to ``[B, D]``: the first position, or the mean over what is no padding."""
    if class_token:
        return states[:, 0]
    if mask is None:
        return states.mean(dim=1)
    share = mask.to(states) / mask.sum(dim=1, keepdim=True)
    return torch.einsum("bs,bsd->bd", share, states)
