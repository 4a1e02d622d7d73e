"""The interface of a supernet to one-shot search: two losses of flat vectors.

Weights and alphas are one vector each, so that the methods' formulas stand in the code as they do
in the papers: ``w - xi * g``, ``beta * (y - w)``, Hessian-vector products, conjugate gradients.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


class Problem(Protocol):
    """Two losses, on the train half and on the validation half of the data."""

    def train_loss(self, weights: Tensor, alpha: Tensor, batch: Any) -> Tensor:
        """The loss on a batch of the train half, a scalar.

        Args:
            weights: ``[n]``.
            alpha: ``[m]``.
            batch: Of the problem's own kind.
        """

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: Any) -> Tensor:
        """The loss on a batch of the validation half, a scalar; arguments as above."""


@runtime_checkable
class Paired(Protocol):
    """A problem that computes both losses, of two weights, in one pass."""

    def both_losses(
        self, w: Tensor, y: Tensor, alpha: Tensor, train: Any, validation: Any
    ) -> tuple[Tensor, Tensor]:
        """``train_loss(w, alpha, train)`` and ``validation_loss(y, alpha, validation)``."""
