"""Expected improvement against numeric integration and BoTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.models.deterministic import GenericDeterministicModel
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from scipy.integrate import quad
from scipy.stats import norm

from bequest.search.surrogates.acquisition import (
    log_expected_improvement,
    log_improvement,
    tabulated_improvement,
)


def integrated(mean: float, deviation: float, best: float) -> float:
    """``E[max(mean + deviation e - best, 0)]`` by quadrature."""
    low = (best - mean) / deviation
    value = quad(lambda e: (mean + deviation * e - best) * norm.pdf(e), low, low + 40)[0]
    return float(value)


@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 0.5), (-1.0, 0.4), (2.0, 1.5), (0.9, 0.05)])
def test_one_setting_is_the_integral(mean: float, deviation: float) -> None:
    ours = log_expected_improvement(
        torch.tensor([[mean]], dtype=torch.float64),
        torch.tensor([[deviation]], dtype=torch.float64),
        torch.tensor(1.0),
        torch.zeros(1),
    )
    assert float(ours.exp()) == pytest.approx(integrated(mean, deviation, 1.0), rel=1e-7)


def test_settings_are_averaged_by_their_shares() -> None:
    mean = torch.tensor([[0.3, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    deviation = torch.tensor([[0.5, 1.0], [0.4, 0.3]], dtype=torch.float64)
    shares = torch.tensor([0.25, 0.75], dtype=torch.float64)
    ours = log_expected_improvement(mean, deviation, torch.tensor(1.0), shares.log()).exp()
    for column in range(2):
        each = [
            integrated(float(mean[b, column]), float(deviation[b, column]), 1.0) for b in (0, 1)
        ]
        assert float(ours[column]) == pytest.approx(0.25 * each[0] + 0.75 * each[1], rel=1e-7)


def test_it_is_botorchs_to_the_last_digit() -> None:
    u = torch.cat(
        [torch.linspace(-60, 10, 4001), -torch.logspace(1, 12, 200), torch.tensor([-1.0, 0.0])]
    ).double()

    class Standard(GenericDeterministicModel):  # type: ignore[misc]
        """Mean u, deviation 1."""

        def posterior(self, X: torch.Tensor, **_: object) -> GPyTorchPosterior:
            normal = MultivariateNormal(X[..., 0], torch.eye(1).double().expand(len(X), 1, 1))
            return GPyTorchPosterior(normal)

    model = Standard(lambda x: x, num_outputs=1)
    theirs = LogExpectedImprovement(model, best_f=0.0)(u[:, None, None])
    assert torch.equal(log_improvement(u), theirs)


def test_far_below_it_falls_as_it_should_and_keeps_its_gradient() -> None:
    u = torch.tensor([-30.0, -1e4, -1e8], dtype=torch.float64, requires_grad=True)
    values = log_improvement(u)
    asymptote = [-(v**2) / 2 - math.log(math.sqrt(2 * math.pi)) - 2 * math.log(-v) for v in
                 (-30.0, -1e4, -1e8)]  # fmt: skip
    assert values.tolist() == pytest.approx(asymptote, rel=1e-5)
    (gradient,) = torch.autograd.grad(values.sum(), u)
    assert gradient.tolist() == pytest.approx([30, 1e4, 1e8], rel=1e-2)


def test_the_table_is_the_formula() -> None:
    z = np.linspace(-12, 12, 1001)
    exact = z * norm.cdf(z) + norm.pdf(z)
    np.testing.assert_allclose(tabulated_improvement(z), exact, atol=5e-4)
    assert tabulated_improvement(np.array([40.0]))[0] == 40.0
    assert tabulated_improvement(np.array([-40.0]))[0] < 1e-15
