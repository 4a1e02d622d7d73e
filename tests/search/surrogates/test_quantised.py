"""The process on bits: finds additive costs in few networks, and knows how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bequest.search.surrogates.quantised import NOISE, SHRINKAGE, BitsProcess
from bequest.search.two_stage.once_for_all.predictor import pairwise_accuracy
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks


def _measured(count: int, seed: int) -> tuple[Networks, np.ndarray, np.ndarray]:
    """Networks, accuracies in float32, accuracies with bits: each layer of 4 bits errs by 5 %."""
    rng = np.random.default_rng(seed)
    networks = Networks.sample(SMALL, count, rng)
    floats = 0.9 + 0.01 * rng.standard_normal(count)
    four = ((networks.bits == 0) & networks.there[:, :, None]).sum((1, 2))
    return networks, floats, 1 - (1 - floats) * 1.05**four


def test_few_networks_suffice_where_errors_multiply() -> None:
    networks, floats, accuracies = _measured(40, 0)
    unseen, unseen_floats, truth = _measured(200, 1)
    said, deviation = BitsProcess(networks, accuracies, floats).predict(unseen, unseen_floats)
    assert pairwise_accuracy(said.tolist(), truth.tolist()) > 0.97
    assert np.abs(said - truth).max() < 0.01
    assert (deviation > 0).all()


def test_without_floats_their_share_is_missing() -> None:
    networks, floats, accuracies = _measured(40, 0)
    unseen, unseen_floats, truth = _measured(200, 1)
    with_floats, _ = BitsProcess(networks, accuracies, floats).predict(unseen, unseen_floats)
    without, _ = BitsProcess(networks, accuracies, None).predict(unseen, None)
    errors = [np.abs(said - truth).mean() for said in (with_floats, without)]
    assert errors[0] < errors[1] / 3


def test_it_is_surest_where_it_has_measured() -> None:
    networks, floats, accuracies = _measured(60, 2)
    process = BitsProcess(networks, accuracies + 0.002 * np.sin(np.arange(60)), floats)
    _, here = process.predict(networks, floats)
    unseen, unseen_floats, _ = _measured(60, 3)
    _, elsewhere = process.predict(unseen, unseen_floats)
    assert np.median(here) < np.median(elsewhere)


@pytest.mark.parametrize("value", [0.5, 1.0])
def test_equal_accuracies_are_no_trouble(value: float) -> None:
    networks, floats, _ = _measured(5, 4)
    said, deviation = BitsProcess(networks, np.full(5, value), floats).predict(networks, floats)
    assert np.isfinite(deviation).all()
    np.testing.assert_allclose(said, value, atol=2e-4)


def features(networks: Networks, floats: np.ndarray) -> list[np.ndarray]:
    """The prediction in float32, layers of few bits by role, bits of each layer."""
    exists = networks.there[:, :, None]
    few = np.stack([(networks.bits == level) & exists for level in (0, 1)], 1).astype(float)
    layers = few.reshape(len(networks), -1)
    return [floats[:, None], few.sum(2).reshape(len(networks), -1), layers]


def kernels_between(asked: list[np.ndarray], measured: list[np.ndarray]) -> np.ndarray:
    """The four kernels ``[4, m, n]``: three inner products and one of distances."""
    kernels = []
    for x, y in zip(asked, measured, strict=True):
        centre = y.mean(0)
        scale = np.square(y - centre).sum(1).mean()
        kernels.append((x - centre) @ (y - centre).T / scale)
    width = np.median(np.square(measured[2][:, None] - measured[2]).sum(2))
    distances = np.square(asked[2][:, None] - measured[2]).sum(2)
    return np.stack([*kernels, np.exp(-distances / width)])


def diagonal(asked: list[np.ndarray], measured: list[np.ndarray]) -> np.ndarray:
    """The four kernels of networks with themselves ``[4, m]``."""
    parts = []
    for x, y in zip(asked, measured, strict=True):
        centre = y.mean(0)
        parts.append(np.square(x - centre).sum(1) / np.square(y - centre).sum(1).mean())
    return np.stack([*parts, np.ones(len(asked[0]))])


def test_predictions_by_dense_formulas_at_the_weights_of_the_largest_evidence() -> None:
    networks, floats, accuracies = _measured(25, 5)
    accuracies = accuracies + 0.003 * np.sin(np.arange(25))
    unseen, unseen_floats, _ = _measured(7, 6)
    process = BitsProcess(networks, accuracies, floats)
    measured, asked = features(networks, floats), features(unseen, unseen_floats)
    kernels = kernels_between(measured, measured)
    errors = -np.log(1 - accuracies)
    y = (errors - errors.mean()) / errors.std()

    def covariance(logs: np.ndarray) -> np.ndarray:
        signal = np.tensordot(np.exp(logs[:-1]), kernels, 1)
        return np.asarray(signal + (np.exp(logs[-1]) + NOISE) * np.eye(25))

    def log_evidence(logs: np.ndarray) -> float:
        return float(multivariate_normal(np.zeros(25), covariance(logs)).logpdf(y))

    def penalised(logs: np.ndarray) -> float:
        return log_evidence(logs) - SHRINKAGE * float(logs @ logs)

    logs = np.log(process._weights.numpy())
    steps = 0.01 * np.eye(5)
    slopes = np.array([penalised(logs + s) - penalised(logs - s) for s in steps]) / 0.02
    assert np.abs(slopes[logs > -7.9]).max() < 2e-3, "a maximum, where no bound is in the way"
    constant = 25 / 2 * np.log(2 * np.pi)
    assert process.log_evidence - constant == pytest.approx(log_evidence(logs), abs=1e-6)
    weights, c = np.exp(logs[:-1]), covariance(logs)
    cross = np.tensordot(weights, kernels_between(asked, measured), 1)
    mean = errors.mean() + errors.std() * cross @ np.linalg.solve(c, y)
    said, deviation = process.predict(unseen, unseen_floats)
    np.testing.assert_allclose(said, 1 - np.exp(-mean), rtol=1e-8)
    variance = weights @ diagonal(asked, measured) - np.diag(cross @ np.linalg.solve(c, cross.T))
    expected = np.exp(-mean) * errors.std() * np.sqrt(variance)
    np.testing.assert_allclose(deviation, expected, rtol=1e-5)
