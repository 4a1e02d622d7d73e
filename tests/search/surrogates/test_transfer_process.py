"""The process of a new task under the transfer prior: its formulas, and whom it trusts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.search.surrogates.averaged import NEGLIGIBLE
from bequest.search.surrogates.evidence import RATE, SHAPE
from bequest.search.surrogates.source_views import KERNELS, TRANSFERRED
from bequest.search.surrogates.transfer_prior import TransferPrior
from bequest.search.surrogates.transfer_process import MEAN, NOISE, OFFSET, TransferProcess
from bequest.search.surrogates.transforms import warp
from bequest.spaces.counts import counts
from tests.search.transfer_tasks import CONFIGS, GRID, RELATED, additive

PRIOR = TransferPrior(RELATED)
TARGET = np.array([additive(99)(c) for c in CONFIGS])


def test_the_prediction_by_dense_formulas() -> None:
    """Every setting with explicit inverses, averaged by SciPy's densities."""
    tried, new = [3, 50, 90, 140], [20, 7]
    y = warp(TARGET[tried])
    x, asked = PRIOR.views([CONFIGS[i] for i in tried]), PRIOR.views([CONFIGS[i] for i in new])
    logs, means, variances = [], [], []
    for trust, mean, noise in itertools.product((0.0, 1.0), MEAN, NOISE):
        if trust == 0 and mean > 0:
            continue
        weights = np.array(PRIOR.weights.kernels)
        if trust == 0:
            own = weights[TRANSFERRED:] * weights.sum() / weights[TRANSFERRED:].sum()
            weights = np.concatenate([np.zeros(TRANSFERRED), own])
        slope = PRIOR.weights.mean * mean
        k = np.tensordot(weights, x.kernels(x, PRIOR.scales).numpy(), 1) + OFFSET
        c = k + PRIOR.weights.noise * noise * np.eye(4)
        rest = y.numpy() - slope * x.mean.numpy()
        logs.append(multivariate_t(np.zeros(4), c * RATE / SHAPE, df=2 * SHAPE).logpdf(rest))
        cross = np.tensordot(weights, asked.kernels(x, PRIOR.scales).numpy(), 1) + OFFSET
        inverse = np.linalg.inv(c)
        means.append(slope * asked.mean.numpy() + cross @ inverse @ rest)
        prior = np.tensordot(weights, asked.diagonals().numpy(), 1) + OFFSET
        scale = (RATE + rest @ inverse @ rest / 2) / (SHAPE + 2)
        variances.append(scale * (prior - np.diag(cross @ inverse @ cross.T)))
    shares = np.exp(np.array(logs) - np.logaddexp.reduce(logs))
    stays = shares >= NEGLIGIBLE
    process = TransferProcess(PRIOR, [CONFIGS[i] for i in tried], y)
    assert process.log_shares.exp().numpy() == pytest.approx(shares[stays], rel=1e-8)
    mean_, deviation = process.predict(asked)
    np.testing.assert_allclose(mean_, np.array(means)[stays], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(deviation.square(), np.array(variances)[stays], rtol=1e-7)
    assert process.guarded == pytest.approx(shares[:2][stays[:2]].sum(), rel=1e-8)


def test_tasks_that_mislead_lose_their_say() -> None:
    tried = np.random.default_rng(1).choice(len(CONFIGS), 25, replace=False)
    configs = [CONFIGS[i] for i in tried]
    misled = TransferProcess(PRIOR, configs, warp(-TARGET[tried]))
    helped = TransferProcess(PRIOR, configs, warp(TARGET[tried]))
    assert sum(misled.source_weights().values()) < 0 < sum(helped.source_weights().values())


def test_a_source_weight_is_the_derivative_of_the_prediction_by_its_score() -> None:
    prior = TransferPrior(RELATED, {"task1": 0.3})
    tried, new = [3, 50, 90, 140, 200], [20]
    process = TransferProcess(prior, [CONFIGS[i] for i in tried], warp(TARGET[tried]))
    x, z = counts(GRID, [CONFIGS[i] for i in new]), prior._z[:, new]
    now = prior._sources.views(x, z)

    def linear(z: np.ndarray) -> float:
        """The parts of the prediction that are linear in a task's score and prediction."""
        views = prior._sources.views(x, z)
        views.predictions = now.predictions + views.scores - now.scores
        kernels = views.kernels(process.x, prior.scales)[:2]
        cross = torch.einsum("sk,kij->sij", process.settings[:, :2], kernels)
        mean = process.settings[:, KERNELS] * views.mean
        return float(process.log_shares.exp() @ ((cross @ process.weights).flatten() + mean))

    for k, weight in enumerate(process.source_weights().values()):
        step = np.zeros_like(z)
        step[k] = 1e-4
        assert weight == pytest.approx((linear(z + step) - linear(z - step)) / 2e-4, rel=1e-6)


def test_a_task_without_relatives_is_searched_by_its_own_process() -> None:
    rng = np.random.default_rng(5)
    tasks = tuple(BankTask(f"task{i}", "accuracy") for i in range(4))
    noise = rng.normal(size=(4, len(CONFIGS)))
    prior = TransferPrior(Scores(GRID, tasks, CONFIGS, noise, ("",) * len(CONFIGS)))
    tried = rng.choice(len(CONFIGS), 25, replace=False)
    process = TransferProcess(prior, [CONFIGS[i] for i in tried], warp(TARGET[tried]))
    assert process.guarded > 0.2


def test_candidates_in_blocks_are_scored_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = [3, 50, 90]
    process = TransferProcess(PRIOR, [CONFIGS[i] for i in tried], warp(TARGET[tried]))
    whole = process.log_expected_improvement(PRIOR.bank_views, torch.tensor(1.0))
    monkeypatch.setattr("bequest.search.surrogates.transfer_process.CHUNK", 100)
    parts = process.log_expected_improvement(PRIOR.bank_views, torch.tensor(1.0))
    assert torch.allclose(parts, whole, atol=1e-9)
    assert len(parts) == len(CONFIGS)
