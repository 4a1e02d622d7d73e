"""The two-way process: its parts against brute-force Gaussian posteriors, and what it recovers."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.search.surrogates import two_way
from bequest.search.surrogates.rows import Rows, rows_of
from bequest.search.surrogates.two_way import (
    BUMPS,
    LUCK,
    MEAN,
    NEGLIGIBLE,
    REACHES,
    SHARED,
    TREND,
    TRIED,
    UNSHARED,
    TwoWayProcess,
    expected_rows,
)

LINE = np.linspace(0, 1, 21)[:, None]
ALL = np.arange(21)


def observed(matrix: np.ndarray, sources: list[int], points: np.ndarray = LINE) -> Rows:
    return rows_of(points, np.arange(len(points)), sources, matrix[sources])


def mountain(noise: float = 0.0, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(21, 21))
    return np.asarray(1 - np.abs(LINE - LINE.T) + noise * drawn)


def test_one_row_tells_a_straight_gap_from_the_rest() -> None:
    process = TwoWayProcess(observed(mountain(), [10]))
    mean, _ = process.predict(ALL)
    np.testing.assert_allclose(mean, mountain(), atol=0.03)


def test_both_slopes_the_columns_and_the_training_are_recovered() -> None:
    points = np.linspace(0, 1, 21)
    difference = points[:, None] - points
    gap = np.where(difference > 0, -2 * difference, difference)
    matrix = 3 * points[:, None] + gap + np.sin(9 * points)
    process = TwoWayProcess(observed(matrix, [3, 10, 17]))
    np.testing.assert_allclose(expected_rows(process), matrix[[3, 10, 17]], atol=0.12)
    np.testing.assert_allclose(process.predict(np.array([6, 13]))[0], matrix[[6, 13]], atol=0.2)


def test_the_training_is_a_gaussian_process_averaged_over_all_settings() -> None:
    """Each setting's evidence and posterior by dense formulas with explicit inverses."""
    rng = np.random.default_rng(1)
    points = rng.random((8, 2))
    matrix = (
        points @ [2.0, -1.0]
        - np.abs(points[:, None] - points).sum(2).T
        + 0.2 * rng.normal(size=(8, 1))
        + 0.05 * rng.normal(size=(8, 8))
    ).T.copy()
    sources = [0, 2, 3, 5, 7]
    process = TwoWayProcess(observed(matrix, sources, points))
    asked = np.array([1, 4, 6])
    x, new = points[sources] - 0.5, points[asked] - 0.5
    y = process.training - process.training.mean()
    tried = (np.ptp(x, axis=0) / TRIED).clip(0, 1)
    logs, means, variances = [], [], []
    for t in TREND:
        slope = t * tried + np.mean(TREND) * (1 - tried)
        for v, s in BUMPS:
            for luck in LUCK:

                def kernel(
                    a: np.ndarray,
                    b: np.ndarray,
                    slope: np.ndarray = slope,
                    v: float = v,
                    s: float = s,
                ) -> np.ndarray:
                    squares = np.square(a[:, None] - b).sum(2)
                    bump = v * np.exp(-squares / (2 * s**2))
                    return np.asarray(process.scale * (MEAN + (a * slope) @ b.T + bump))

                own = process.scale * (luck + 1e-6) + process.noise / 8
                c = kernel(x, x) + own * np.eye(5)
                inverse = np.linalg.inv(c)
                logs.append(-0.5 * y @ inverse @ y - 0.5 * np.linalg.slogdet(c)[1])
                cross = kernel(new, x)
                means.append(cross @ inverse @ y)
                prior = np.diag(kernel(new, new)) + process.scale * luck
                variances.append(prior - np.diag(cross @ inverse @ cross.T))
    shares = np.exp(np.array(logs) - max(logs))
    shares[shares < NEGLIGIBLE] = 0
    shares /= shares.sum()
    mean = shares @ np.array(means)
    variance = shares @ np.array(variances) + shares @ np.square(np.array(means) - mean)
    ours = process.training_of(asked)
    np.testing.assert_allclose(ours[0], process.training.mean() + mean, rtol=1e-6)
    np.testing.assert_allclose(ours[1], variance, rtol=1e-4)
    assert process.log_evidence == pytest.approx(np.logaddexp.reduce(logs), abs=1e-6)


@pytest.mark.parametrize("luck", [0.02, 0.3])
def test_luck_of_single_trainings_is_told_from_a_smooth_training(luck: float) -> None:
    """Trainings that differ by luck are smoothed, those that do not are interpolated."""
    rng = np.random.default_rng(0)
    training = 2 * LINE[:, 0] + luck * rng.normal(size=21)
    sources = [0, 3, 5, 8, 10, 12, 15, 18, 20]
    process = TwoWayProcess(observed(training[:, None] - np.abs(LINE - LINE.T), sources))
    weights = {u: process._shares[process._settings[:, 3] == u].sum() for u in LUCK}
    assert (weights[max(LUCK)] > 0.6) == (luck > 0.1)


def test_each_grid_of_noise_has_several_values() -> None:
    """With one value alone, luck and noise could not be told apart: see the test above."""
    assert len(set(LUCK)) > 1
    assert len(set(SHARED)) > 1
    assert len(set(REACHES)) > 1


def test_what_neighbours_share_is_predicted_and_what_they_do_not_is_not() -> None:
    rng = np.random.default_rng(2)
    reach = np.exp(-np.abs(LINE - LINE.T) / 0.4)
    shared = np.linalg.cholesky(reach + 1e-9 * np.eye(21)) @ rng.normal(size=(21, 21))
    sources = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    for rest, expected in ((shared, True), (rng.normal(size=(21, 21)), False)):
        matrix = mountain() + 0.1 * rest
        process = TwoWayProcess(observed(matrix, sources))
        odd = np.array([3, 9, 15])
        with_rest = process.predict(odd)[0]
        without = process.training_of(odd)[0][:, None] + process.columns + process.gap(odd)
        gain = np.square(without - matrix[odd]).mean() / np.square(with_rest - matrix[odd]).mean()
        assert (gain > 1.3) == expected
        assert (sum(weight for weight, *_ in process._common) > 0.5) == expected


def test_what_is_shared_takes_its_part_off_the_noise() -> None:
    rng = np.random.default_rng(2)
    reach = np.exp(-np.abs(LINE - LINE.T) / 0.4)
    shared = np.linalg.cholesky(reach + 1e-9 * np.eye(21)) @ rng.normal(size=(21, 21))
    sources = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    process = TwoWayProcess(observed(mountain() + 0.1 * shared, sources))
    asked = np.array([9, 15])
    explained = np.zeros(2)
    for weight, share, reach_, _ in process._common:
        kernel = share * np.exp(-np.abs(LINE[sources] - LINE[sources].T) / reach_)
        kernel += (1 - share) * np.eye(11)
        cross = share * np.exp(-np.abs(LINE[asked] - LINE[sources].T) / reach_)
        explained += weight * np.diag(cross @ np.linalg.inv(kernel) @ cross.T)
    assert explained.min() > 0.3
    expected = process.training_of(asked)[1] + process.noise * (1 - explained)
    np.testing.assert_allclose(process.predict(asked)[1], expected, rtol=1e-9)


def test_the_weights_of_what_is_shared_are_its_evidence() -> None:
    rng = np.random.default_rng(3)
    matrix = mountain(0.05) + 0.1 * np.sin(12 * LINE) * rng.normal(size=(1, 21))
    sources = [1, 5, 6, 12, 13, 19]
    process = TwoWayProcess(observed(matrix, sources))
    rest = process._rest
    gaps = np.abs(LINE[sources] - LINE[sources].T)
    settings = [(0.0, 1.0)] + [(a, b) for a in SHARED for b in REACHES]
    logs = []
    for share, reach in settings:
        c = process.noise * (share * np.exp(-gaps / reach) + (1 - share) * np.eye(6))
        density = -0.5 * np.trace(np.linalg.inv(c) @ rest @ rest.T)
        density -= 21 / 2 * np.linalg.slogdet(c)[1]
        prior = UNSHARED if share == 0 else (1 - UNSHARED) / (len(settings) - 1)
        logs.append(density + np.log(prior))
    weights = np.exp(np.array(logs) - max(logs))
    weights[weights < NEGLIGIBLE] = 0
    weights /= weights.sum()
    expected = [w for w, (share, _) in zip(weights, settings, strict=True) if share > 0 and w > 0]
    assert [weight for weight, *_ in process._common] == pytest.approx(expected, rel=1e-6)


def test_a_curved_gap_needs_more_rows_than_one() -> None:
    bell = np.exp(-0.5 * ((LINE - LINE.T) / 0.12) ** 2)
    assert TwoWayProcess(observed(bell, [10]))._bells.tolist() == [1, 0, 0]
    process = TwoWayProcess(observed(bell, [3, 7, 10, 14, 18]))
    assert process._bells[0] < 0.1
    np.testing.assert_allclose(process.predict(np.array([5, 12]))[0], bell[[5, 12]], atol=0.15)


def test_ridge_regression_is_the_gaussian_posterior() -> None:
    rng = np.random.default_rng(4)
    x, y, prior = rng.normal(size=(9, 3)), rng.normal(size=9), np.array([0.1, 1.0, 10.0])
    solved = two_way._solve(x.T @ x, x.T @ y, prior, 0.3)
    exact = np.linalg.solve(x.T @ x / 0.3 + np.diag(1 / prior), x.T @ y / 0.3)
    np.testing.assert_allclose(solved, exact, rtol=1e-9)


def test_columns_are_shrunk_by_their_noise() -> None:
    """Column effects without noise are taken over whole; those that are noise alone are not."""
    rng = np.random.default_rng(5)
    columns = rng.normal(size=21)
    sources = [2, 6, 10, 14, 18]
    clean = TwoWayProcess(observed(mountain() + columns, sources))
    assert np.corrcoef(clean.columns, columns)[0, 1] > 0.99
    noisy = TwoWayProcess(observed(mountain(noise=0.3), sources))
    assert noisy.columns.std() < 0.1
    assert noisy.noise == pytest.approx(0.09, rel=0.5)
