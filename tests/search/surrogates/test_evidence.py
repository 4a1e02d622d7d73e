"""The evidence and what predictions need, against SciPy's and GPyTorch's dense formulas."""

from __future__ import annotations

import math

import gpytorch
import numpy as np
import pytest
import torch
from scipy.special import gammaln
from scipy.stats import multivariate_normal, multivariate_t

from bequest.search.surrogates.evidence import (
    RATE,
    SHAPE,
    gaussian_terms,
    shares,
    student_posterior,
)

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(4, 4))
COVARIANCE, Y = ROOT @ ROOT.T + np.eye(4), RNG.normal(size=4)


def test_it_is_the_student_t_density() -> None:
    """A Gaussian whose variance is inverse gamma is a Student t: SciPy knows its density."""
    posterior = student_posterior(torch.tensor(COVARIANCE)[None], torch.tensor(Y)[None])
    t = multivariate_t(np.zeros(4), COVARIANCE * RATE / SHAPE, df=2 * SHAPE)
    constant = gammaln(SHAPE + 2) - gammaln(SHAPE) + SHAPE * math.log(RATE)
    constant -= 2 * math.log(2 * math.pi)
    assert float(posterior.log_evidence) + constant == pytest.approx(t.logpdf(Y), abs=1e-9)


def test_what_predictions_need() -> None:
    posterior = student_posterior(torch.tensor(COVARIANCE)[None], torch.tensor(Y)[None])
    np.testing.assert_allclose(posterior.cholesky[0], np.linalg.cholesky(COVARIANCE), rtol=1e-12)
    solved = np.linalg.solve(COVARIANCE, Y)
    np.testing.assert_allclose(posterior.weights[0, :, 0], solved, rtol=1e-10)
    variance = (RATE + Y @ solved / 2) / (SHAPE + 2)  # the posterior mean rate over shape
    assert float(posterior.variance) == pytest.approx(variance)


def test_settings_of_a_batch_do_not_mix() -> None:
    both = torch.tensor(np.stack([COVARIANCE, 3 * COVARIANCE]))
    posterior = student_posterior(both, torch.tensor(np.stack([Y, -Y])))
    alone = student_posterior(both[1:], torch.tensor(-Y)[None])
    assert torch.allclose(posterior.log_evidence[1:], alone.log_evidence)
    assert posterior.log_evidence[0] != posterior.log_evidence[1]


def test_the_gaussian_terms_are_scipys_and_gpytorchs_density() -> None:
    log_density = multivariate_normal(np.zeros(4), COVARIANCE).logpdf(Y)
    terms = gaussian_terms(torch.tensor(COVARIANCE), torch.tensor(Y))
    assert -float(sum(terms)) - 2 * math.log(2 * math.pi) == pytest.approx(log_density)
    theirs = gpytorch.distributions.MultivariateNormal(
        torch.zeros(4).double(), torch.tensor(COVARIANCE)
    ).log_prob(torch.tensor(Y))
    assert log_density == pytest.approx(float(theirs))
    twice = gaussian_terms(torch.tensor(np.stack([COVARIANCE] * 2)), torch.tensor(np.stack([Y, Y])))
    assert [float(t) for t in twice] == pytest.approx([2 * float(t) for t in terms])


def test_shares_of_the_evidence() -> None:
    stays, parts = shares(np.log([1.0, 3.0, 0.01]) + 700)
    assert stays.all()
    assert parts == pytest.approx(np.array([1, 3, 0.01]) / 4.01)
    stays, parts = shares(np.log([1.0, 3.0, 0.01]), 0.02)
    assert stays.tolist() == [True, True, False]
    assert parts == pytest.approx([0.25, 0.75])
    assert shares(np.log([1.0, 1 / 50.1]), 0.02)[0].tolist() == [True, False]
