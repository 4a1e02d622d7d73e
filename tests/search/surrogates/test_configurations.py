"""The process over configurations: its inputs, its fit, its predictions against plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.stats import multivariate_t, norm

from bequest.search.surrogates.averaged import NEGLIGIBLE
from bequest.search.surrogates.configurations import (
    CATEGORICAL,
    HAMMING_SCALES,
    LOG_NOISE,
    NOISES,
    ConfigurationInputs,
    ConfigurationProcess,
    fit_scales,
    numeric_prior,
)
from bequest.search.surrogates.evidence import RATE, SHAPE
from bequest.search.surrogates.transforms import warp
from bequest.spaces import Config, Parameter, Space
from bequest.spaces.counts import counts
from bequest.testing.samplers import CONDITIONAL

LINE = Space("line", [Parameter("x", FloatDistribution(0, 1))])
CHOICES = Space(
    "choices", [Parameter(n, CategoricalDistribution(list("abc"))) for n in ("p", "q", "r")]
)


def test_an_inactive_choice_tells_nothing() -> None:
    """Two configurations that differ in a dead branch alone have equal inputs."""
    inputs = ConfigurationInputs(CONDITIONAL)
    x = inputs([{"layer": "none", "rate": 0.01, "fixed": "only"}] * 2)
    assert torch.equal(x[0], x[1])
    assert torch.isfinite(x).all()
    assert x[0].tolist().count(0.5) == 2, "heads and dropout are in the middle of their ranges"


def test_the_process_interpolates_a_smooth_function() -> None:
    configs: list[Config] = [{"x": x} for x in np.linspace(0, 1, 12).tolist()]
    values = np.array([math.sin(6 * float(config["x"])) for config in configs])
    inputs = ConfigurationInputs(LINE)
    process = ConfigurationProcess(inputs, inputs(configs), warp(values))
    best = warp(values).max()
    gain = process.log_expected_improvement(inputs([{"x": 0.26}, {"x": 0.8}]), best)
    assert gain[0] > gain[1]  # the maximum of sin(6 x) is at .262


def test_a_space_of_choices_averages_the_grid_by_its_evidence() -> None:
    """Each setting by SciPy's density and the textbook's posterior, then the mean of all."""
    rng = np.random.default_rng(0)
    configs = [CHOICES.sample(rng) for _ in range(12)]
    y = rng.normal(size=12)
    inputs = ConfigurationInputs(CHOICES)
    process = ConfigurationProcess(inputs, inputs(configs), torch.from_numpy(y))
    asked = [CHOICES.sample(rng) for _ in range(5)]
    x, new = counts(CHOICES, configs), counts(CHOICES, asked)
    logs, means, variances = [], [], []
    for scale in HAMMING_SCALES:
        for noise in NOISES:
            k = np.exp(-np.square(x[:, None] - x).sum(2) / (2 * scale**2))
            cross = np.exp(-np.square(new[:, None] - x).sum(2) / (2 * scale**2))
            c = k + noise * np.eye(12)
            logs.append(multivariate_t(np.zeros(12), c * RATE / SHAPE, df=2 * SHAPE).logpdf(y))
            solved = np.linalg.solve(c, y)
            variance = (RATE + y @ solved / 2) / (SHAPE + 6)
            means.append(cross @ solved)
            variances.append(variance * (1 - (cross * np.linalg.solve(c, cross.T).T).sum(1)))
    shares = np.exp(np.array(logs) - np.logaddexp.reduce(logs))
    stays = shares >= NEGLIGIBLE
    assert process.log_shares.exp().numpy() == pytest.approx(shares[stays], rel=1e-9)
    mean, deviation = process.predict(inputs(asked))
    np.testing.assert_allclose(mean, np.array(means)[stays], rtol=1e-9)
    np.testing.assert_allclose(deviation.square(), np.array(variances)[stays], rtol=1e-9)


def test_the_grid_tells_noisy_values_from_exact_ones() -> None:
    rng = np.random.default_rng(1)
    configs = [CHOICES.sample(rng) for _ in range(25)]
    effects = {(n, v): rng.normal() for n in "pqr" for v in "abc"}
    exact = np.array([sum(effects[n, str(v)] for n, v in c.items()) for c in configs])
    inputs = ConfigurationInputs(CHOICES)
    noisier = []
    for values in (exact, exact + 1.5 * rng.normal(size=25)):
        process = ConfigurationProcess(inputs, inputs(configs), warp(values))
        noisier.append(float(process.log_shares.exp()[process.noise == max(NOISES)].sum()))
    assert noisier[0] < 0.2 < 0.8 < noisier[1]


def test_choices_that_matter_get_short_scales() -> None:
    rng = np.random.default_rng(1)
    numeric = rng.random((60, 2))
    codes = rng.integers(0, 3, (60, 2))
    y = np.sin(5 * numeric[:, 0]) + (codes[:, 0] == 1)
    y = (y - y.mean()) / y.std()
    x = torch.tensor(np.concatenate([numeric, codes], axis=1))
    scales, noise = fit_scales(x, torch.tensor(y), torch.tensor([False, False, True, True]))
    assert scales[0] < scales[1] / 2
    assert scales[2] < scales[3] / 2
    assert noise < 0.01


def test_the_fit_is_the_maximum_of_the_posterior() -> None:
    """At the answer a step in any logarithm lowers a log posterior that is written down anew."""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.random((20, 2)), rng.integers(0, 3, 20)])
    y = np.sin(4 * x[:, 0]) + 0.3 * x[:, 2] + 0.2 * rng.normal(size=20)
    y = (y - y.mean()) / y.std()
    scales, noise = fit_scales(torch.tensor(x), torch.tensor(y), torch.tensor([False, False, True]))

    def log_posterior(logs: np.ndarray) -> float:
        scaled = (x[:, None, :2] - x[:, :2]) / np.exp(logs[:2])
        d = np.sqrt(5 * np.square(scaled).sum(2))
        k = (
            (1 + d + d**2 / 3)
            * np.exp(-d)
            * np.exp(-1.0 * (x[:, None, 2] != x[:, 2]) / np.exp(logs[2]))
        )
        c = k + np.exp(logs[3]) * np.eye(20)
        value = multivariate_t(np.zeros(20), c * RATE / SHAPE, df=2 * SHAPE).logpdf(y)
        priors = [numeric_prior(2), numeric_prior(2), CATEGORICAL, LOG_NOISE]
        return float(value + sum(norm(*p).logpdf(v) for p, v in zip(priors, logs, strict=True)))

    best = np.log([*scales.tolist(), noise])
    for step in np.concatenate([np.eye(4), -np.eye(4)]) * 0.1:
        assert log_posterior(best + step) < log_posterior(best)


def test_the_prior_of_numeric_scales_grows_with_the_root_of_the_dimension() -> None:
    assert numeric_prior(1) == (-0.6, 1.0)
    assert numeric_prior(100)[0] - numeric_prior(1)[0] == pytest.approx(math.log(10))


def test_noise_is_estimated() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((150, 1))
    y = np.sin(6 * x[:, 0]) + rng.normal(0, 0.5, 150)
    y = (y - y.mean()) / y.std()
    _, noise = fit_scales(torch.tensor(x), torch.tensor(y), torch.tensor([False]))
    assert 0.05 < noise < 1
