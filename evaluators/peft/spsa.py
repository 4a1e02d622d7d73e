"""SPSA: a gradient from two losses, with the correction of BlackVIP.

Spall (1992): ``g = (L(x + c d) - L(x - c d)) / (2 c) * d^-1`` for random signs d. Oh et al.,
*BlackVIP* (CVPR 2023), SPSA-GC: the loss is asked at the point to which the momentum will carry
(Nesterov's look-ahead); here the estimate is averaged over steps, which does the same to the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Spsa:
    """Writes estimated gradients into ``.grad``.

    Args:
        parameters: What is estimated for.
        perturbation: c.
        momentum: Of the running mean of estimates; 0 for the plain estimate.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        perturbation: float = 0.01,
        momentum: float = 0.9,
    ) -> None:
        self.parameters = list(parameters)
        self.perturbation, self.momentum = perturbation, momentum
        self._mean = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def estimate(self, loss: Callable[[], Tensor]) -> None:
        """Two losses, one estimate."""
        signs = [2.0 * torch.randint_like(p, 0, 2) - 1 for p in self.parameters]
        before = [p.clone() for p in self.parameters]
        ahead = self._shifted(loss, before, signs, +self.perturbation)
        behind = self._shifted(loss, before, signs, -self.perturbation)
        slope = (ahead - behind) / (2 * self.perturbation)
        for p, old, sign, mean in zip(self.parameters, before, signs, self._mean, strict=True):
            p.copy_(old)
            mean.mul_(self.momentum).add_((1 - self.momentum) * slope * sign)
            p.grad = mean.clone()

    def _shifted(
        self, loss: Callable[[], Tensor], before: list[Tensor], signs: list[Tensor], by: float
    ) -> Tensor:
        for p, old, sign in zip(self.parameters, before, signs, strict=True):
            p.copy_(old + by * sign)
        return loss()
