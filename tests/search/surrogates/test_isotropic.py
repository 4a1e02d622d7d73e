"""The process of published MBTL against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from bequest.search.surrogates.isotropic import SCALES, IsotropicProcess


def data(seed: int, count: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((count, 2)) * 4
    return x, np.sin(x[:, 0]) + 0.3 * x[:, 1] + 0.1 * rng.normal(size=count)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_published_codes(seed: int) -> None:
    x, y = data(seed)
    theirs = GaussianProcessRegressor(
        ConstantKernel(1.0, (1e-3, 1e3)) * RBF(1.0, (1e-2, 1e2)), alpha=0.01
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(x, y)
    ours = IsotropicProcess(x, y, 0.01)
    asked = np.random.default_rng(9).random((20, 2)) * 5
    for mine, other in zip(ours.predict(asked), theirs.predict(asked, True), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-5)
    constant = len(x) / 2 * np.log(2 * np.pi)
    likelihood = theirs.log_marginal_likelihood_value_
    assert ours.log_evidence - constant == pytest.approx(likelihood, abs=1e-6)
    fitted = np.log([ours.variance, ours.scale])
    assert fitted == pytest.approx(theirs.kernel_.theta, abs=2e-3)


def test_values_that_never_change_have_the_longest_scale() -> None:
    x, _ = data(0)
    assert IsotropicProcess(x, np.ones(9), 0.01).scale == pytest.approx(SCALES[1])


def test_observed_points_are_known_up_to_the_noise() -> None:
    x, y = data(1)
    mean, deviation = IsotropicProcess(x, y, 1e-4).predict(x)
    np.testing.assert_allclose(mean, y, atol=0.02)
    assert (deviation < 0.02).all()
    far = IsotropicProcess(x, y, 1e-4).predict(np.array([[1e6, 0.0]]))
    assert far[0] == pytest.approx(0)
