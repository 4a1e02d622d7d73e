"""The Hessian's largest eigenvalue."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from bequest.search.two_stage.one_shot.hessian import largest_eigenvalue


@pytest.mark.parametrize("seed", range(6))
def test_the_eigenvalue_of_a_known_hessian(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    half = torch.randn(30, 30, generator=generator)
    matrix = half + half.T
    values = torch.linalg.eigvalsh(matrix)

    class Bowl:
        def train_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return weights.sum()

        def validation_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return alpha @ matrix @ alpha / 2

    alpha = torch.randn(30, generator=generator)
    value = largest_eigenvalue(Bowl(), torch.zeros(2), alpha, None)
    # Of an indefinite matrix the two ends may be of like size.
    ends = [values[0].item(), values[-1].item()]
    assert min(abs(value / end - 1) for end in ends) < 0.05
    assert abs(value) > 0.95 * values.abs().max().item()


def test_the_eigenvalue_of_few_alphas_is_exact() -> None:
    matrix = torch.diag(torch.tensor([1.0, -4.0, 3.0]))

    class Bowl:
        def train_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return weights.sum()

        def validation_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return alpha @ matrix @ alpha / 2

    value = largest_eigenvalue(Bowl(), torch.zeros(2), torch.randn(3), None)
    assert value == pytest.approx(-4, abs=1e-3)


def test_the_finite_difference_is_short_where_the_loss_is_not_quadratic() -> None:
    class Steep:
        def train_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return weights.sum()

        def validation_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return (alpha**4).sum()

    value = largest_eigenvalue(Steep(), torch.zeros(2), torch.tensor([0.5]), None)
    assert value == pytest.approx(12 * 0.25, abs=0.015)


def test_losses_that_are_not_finite_have_no_eigenvalue() -> None:
    class Broken:
        def train_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return weights.sum()

        def validation_loss(self, weights: Any, alpha: Any, batch: Any) -> torch.Tensor:
            return alpha.sum() * torch.nan

    assert math.isnan(largest_eigenvalue(Broken(), torch.zeros(2), torch.ones(3), None))
