"""Values on one scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from bequest.search.surrogates.transforms import gaussianised, warp


class TestWarp:
    def test_standardises(self) -> None:
        warped = warp(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        assert float(warped.mean()) == pytest.approx(0, abs=1e-12)
        assert list(warped.argsort()) == [0, 1, 2, 3, 4]

    def test_a_disaster_does_not_set_the_scale(self) -> None:
        good = [0.80, 0.81, 0.82, 0.83, 0.84]
        warped = warp(np.array([0.1, *good]))
        assert float(warped[5] - warped[1]) > 0.8

    def test_enormous_values(self) -> None:
        warped = warp(np.array([-1e308, 0.0, 1e308]))
        assert torch.allclose(warped, torch.tensor([-(1.5**0.5), 0, 1.5**0.5], dtype=torch.float64))

    def test_constant_values(self) -> None:
        assert torch.equal(warp(np.full(5, 0.3)), torch.zeros(5, dtype=torch.float64))

    def test_only_what_is_far_below_the_median_is_raised(self) -> None:
        values = np.array([-100.0, 0.0, 1.0, 2.0, 3.0])
        median, high = np.quantile(values, [0.5, 0.9])
        raised = np.array([median - 2.5 * (high - median), *values[1:]])
        expected = (raised - raised.mean()) / raised.std()
        assert warp(values).numpy() == pytest.approx(expected)
        few = np.array([-100.0, 0.0, 1.0])
        assert warp(few).numpy() == pytest.approx((few - few.mean()) / few.std())


def test_gaussian_ranks() -> None:
    ranks = gaussianised(np.array([30.0, np.nan, 10.0, 1e9]))
    assert ranks[[2, 0, 3]] == pytest.approx(norm.ppf([1 / 6, 3 / 6, 5 / 6]))
    assert np.isnan(ranks[1])
    assert np.isnan(gaussianised(np.full(3, np.nan))).all()
