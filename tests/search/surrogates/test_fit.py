"""The fit of length scales and noise, against plain formulas and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import gammaln
from scipy.stats import multivariate_t

from bequest.search.surrogates.fit import RATE, SHAPE, evidence, fit
from bequest.search.surrogates.polish import polish
from bequest.spaces import Config
from tests.conformance.samplers import CONDITIONAL


def test_evidence_is_the_student_t_density() -> None:
    """A Gaussian whose variance is inverse gamma is a Student t: SciPy knows its density."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    covariance, y = root @ root.T + np.eye(4), rng.normal(size=4)
    ours = evidence(torch.tensor(covariance)[None], torch.tensor(y)[None])[0]
    t = multivariate_t(np.zeros(4), covariance * RATE / SHAPE, df=2 * SHAPE)
    constant = gammaln(SHAPE + 2) - gammaln(SHAPE) + SHAPE * math.log(RATE)
    constant -= 2 * math.log(2 * math.pi)
    assert float(ours) + constant == pytest.approx(t.logpdf(y), abs=1e-9)


def test_choices_that_matter_get_short_scales() -> None:
    rng = np.random.default_rng(1)
    numeric = rng.random((60, 2))
    codes = rng.integers(0, 3, (60, 2))
    y = np.sin(5 * numeric[:, 0]) + (codes[:, 0] == 1)
    y = (y - y.mean()) / y.std()
    x = torch.tensor(np.concatenate([numeric, codes], axis=1))
    scales, noise = fit(x, torch.tensor(y), torch.tensor([False, False, True, True]))
    assert scales[0] < scales[1] / 2
    assert scales[2] < scales[3] / 2
    assert noise < 0.01


def test_noise_is_found() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((150, 1))
    y = np.sin(6 * x[:, 0]) + rng.normal(0, 0.5, 150)
    _, noise = fit(torch.tensor(x), torch.tensor((y - y.mean()) / y.std()), torch.tensor([False]))
    assert 0.05 < noise < 1


def test_polish_climbs_and_keeps_what_is_active() -> None:
    starts: list[Config] = [
        {"layer": "gat", "heads": 2, "dropout": 0.1, "rate": 1e-3, "fixed": "only"},
        {"layer": "none", "rate": 0.05, "fixed": "only"},
    ]
    encoding = CONDITIONAL.encode(starts)
    x = torch.from_numpy(encoding.values)

    def acquisition(x: torch.Tensor) -> torch.Tensor:
        return -(x[:, 1:4] - torch.tensor([1.0, 0.5, 2 / 3])).square().sum(1)

    first, second = (CONDITIONAL.validate(c) for c in polish(CONDITIONAL, starts, x, acquisition))
    assert first["heads"] == 8
    assert first["dropout"] == pytest.approx(0.45, abs=1e-3)
    assert first["rate"] == pytest.approx(0.01, rel=1e-2)
    assert set(second) == set(starts[1])
    assert second["rate"] == pytest.approx(0.01, rel=1e-2)
