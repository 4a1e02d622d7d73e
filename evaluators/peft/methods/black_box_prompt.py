"""A prompt that is learned from losses alone, as from a service that gives no gradients.

Oh et al., *BlackVIP* (CVPR 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import Method
from ..prompting import initial_prompt, insert_prompt
from ..spsa import Spsa


def black_box_prompt(
    site: Site, *, length: int = 4, inner: int = 64, perturbation: float = 0.05
) -> Handle:
    """A prompt that is learned from losses alone: two forward passes a step, no backward pass.

    The prompt is a fixed random projection of a few numbers, which SPSA moves.

    Args:
        site: Where.
        length: m.
        inner: How many numbers are learned.
        perturbation: c, how far SPSA steps to both sides.
    """
    hooks = Hooks(site.model, site.arch)
    projected = ProjectedPrompt(initial_prompt(site, length), inner)
    insert_prompt(site, hooks, projected, None)
    return BlackBox(site, projected, hooks, length, perturbation)


class ProjectedPrompt(nn.Module):
    """``start + R z`` with a fixed random R; z begins at 0."""

    def __init__(self, start: Tensor, inner: int) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.zeros(inner))
        self.register_buffer("start", start)
        spread = start.std() / inner**0.5
        self.register_buffer("projection", spread * torch.randn(*start.shape, inner))

    def forward(self, batch: int) -> Tensor:
        """``[batch, m, D]``."""
        positions = torch.as_tensor(self.start) + torch.as_tensor(self.projection) @ self.inner
        return positions.expand(batch, -1, -1)


class BlackBox(Handle):
    """Features without a graph; the gradient is estimated after each backward pass of the head."""

    def __init__(
        self, site: Site, own: nn.Module, hooks: Hooks, length: int, perturbation: float
    ) -> None:
        super().__init__(site, own, hooks=hooks, prompts=length)
        self.estimator = Spsa(list(own.parameters()), perturbation=perturbation)

    def features(self, inputs: Mapping[str, Any]) -> Tensor:
        """``[B, D]``, a constant: the backbone might be a service elsewhere."""
        with torch.no_grad():
            return super().features(inputs)

    def after_backward(self, loss: Callable[[], Tensor]) -> None:
        """Estimate the prompt's gradient by two losses."""
        self.estimator.estimate(loss)


METHOD = Method("black-box-prompt", black_box_prompt)
