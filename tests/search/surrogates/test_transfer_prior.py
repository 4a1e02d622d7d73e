"""The prior that a bank's tasks give: scores, linear models, and how far they are trusted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from bequest.banks.scores import Scores
from bequest.common.errors import BankError
from bequest.search.surrogates import transfer_prior
from bequest.search.surrogates.source_views import ALIKE, RIDGE, effects_of
from bequest.search.surrogates.transfer_prior import (
    CAUTIOUS,
    CHOICE_SCALES,
    TransferPrior,
    transfer_prior_of,
)
from bequest.search.surrogates.transforms import gaussianised
from bequest.spaces import Space
from bequest.spaces.counts import counts
from tests.search.proposals import SPACES, check, scores_of
from tests.search.transfer_tasks import CONFIGS, GRID, RELATED, additive, bank_of


def test_missing_scores_are_modelled() -> None:
    values = RELATED.values.copy()
    hidden = np.random.default_rng(0).random(values.shape) < 0.5
    holed = Scores(GRID, RELATED.tasks, CONFIGS, np.where(hidden, np.nan, values), RELATED.origins)
    views = TransferPrior(holed).bank_views
    truth = np.stack([gaussianised(row) for row in values])
    modelled = views.scores.numpy().T[hidden]
    assert np.corrcoef(modelled, truth[hidden])[0, 1] > 0.8


def test_effects_are_a_ridge_regression_on_what_was_scored() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.random((8, 2)), rng.normal(size=8)
    z[3] = np.nan
    rows = np.column_stack([x, np.ones(8)])[~np.isnan(z)]
    exact = np.linalg.inv(rows.T @ rows + RIDGE * np.eye(3)) @ rows.T @ z[~np.isnan(z)]
    assert effects_of(x, z) == pytest.approx(exact)


def test_source_scores_are_by_task() -> None:
    scores = TransferPrior(RELATED).source_scores(CONFIGS[0])
    assert list(scores) == [t.name for t in RELATED.tasks]
    assert scores["task0"] == pytest.approx(gaussianised(RELATED.values[0])[0])


def test_relevance_moves_the_mean() -> None:
    opposed = bank_of(GRID, [additive(1), lambda c: -additive(2)(c)], CONFIGS)
    first = TransferPrior(opposed, {"task1": 0.01}).bank_views.mean
    second = TransferPrior(opposed, {"task0": 0.01}).bank_views.mean
    assert np.corrcoef(first, second)[0, 1] < -0.5
    later = TransferPrior(opposed).with_relevance({"task1": 0.01}).bank_views.mean
    assert torch.equal(first, later)


def test_views_by_their_formulas() -> None:
    """Mean score, factors of relevance, counts spread as their effects between the tasks."""
    relevance = {"task1": 3.0, "task2": 0.5}
    prior = TransferPrior(RELATED, relevance)
    views = prior.views(CONFIGS[:4])
    z = np.stack([gaussianised(row) for row in RELATED.values])
    shares = np.array([1, 3, 0.5, 1, 1, 1]) / 7.5
    mean = shares @ z
    assert views.mean.numpy() == pytest.approx(mean[:4] / mean.std())
    np.testing.assert_allclose(views.scores, (z[:, :4] * np.sqrt(6 * shares)[:, None]).T)
    x = counts(GRID, CONFIGS)
    effects = np.stack([effects_of(x, row) for row in z])
    modelled = effects[:, :-1] @ x[:4].T + effects[:, -1:]
    np.testing.assert_allclose(views.predictions, (modelled * np.sqrt(6 * shares)[:, None]).T)
    centred = (x - x.mean(0)) * np.sqrt(effects[:, :-1].var(0) + 1e-4)
    size = np.sqrt(np.square(centred).sum(1).mean())
    np.testing.assert_allclose(views.effects, centred[:4] / size, atol=1e-12)
    np.testing.assert_allclose(views.counts, x[:4])


def test_the_six_kernels_by_their_formulas() -> None:
    prior = TransferPrior(RELATED)
    a, b = prior.views(CONFIGS[:3]), prior.views(CONFIGS[50:55])
    kernels = a.kernels(b, prior.scales).numpy()
    assert prior.scales == CHOICE_SCALES
    held, other = a.scores.numpy(), b.scores.numpy()
    modelled, others = a.predictions.numpy(), b.predictions.numpy()
    np.testing.assert_allclose(kernels[0], held @ other.T / 6)
    np.testing.assert_allclose(kernels[1], modelled @ others.T / 6)
    np.testing.assert_allclose(kernels[2], a.effects.numpy() @ b.effects.numpy().T)
    middle, far = (held + modelled) / 2, (other + others) / 2
    squares = np.square(middle[:, None] - far).sum(2) / 6
    np.testing.assert_allclose(kernels[3], np.exp(-squares / (2 * ALIKE**2)), rtol=1e-9)
    squares = np.square(a.counts.numpy()[:, None] - b.counts.numpy()).sum(2)
    for kernel, scale in zip(kernels[4:], CHOICE_SCALES, strict=True):
        np.testing.assert_allclose(kernel, np.exp(-squares / (2 * scale**2)), rtol=1e-9)
    own = torch.diagonal(a.kernels(a, prior.scales), dim1=1, dim2=2)
    np.testing.assert_allclose(a.diagonals(), own, atol=1e-12)


def test_the_weights_explain_the_banks_tasks_best() -> None:
    """A step in any weight lowers a log posterior that is written down with SciPy's density."""
    prior = TransferPrior(RELATED)
    problems = prior._pseudo_problems()
    assert sum(len(y) for _, _, y in problems) == 6 * transfer_prior.DRAWS

    def log_posterior(point: np.ndarray) -> float:
        total = -np.square(point[:-2] + 2).sum() / 8
        for kernels, means, values in problems:
            for k, mean, y in zip(kernels.numpy(), means.numpy(), values.numpy(), strict=True):
                c = np.tensordot(np.exp(point[:-2]), k, 1) + np.exp(point[-2]) * np.eye(len(y)) + 1
                total += multivariate_normal(point[-1] * mean, c).logpdf(y)
        return float(total)

    weights = prior.weights
    best = np.array([*np.log([*weights.kernels, weights.noise]), weights.mean])
    here = log_posterior(best)
    for place in range(len(best)):
        for step in (-0.3, 0.3):
            moved = best.copy()
            moved[place] += step
            if moved[-1] >= 0 and moved[place] >= -9:
                assert log_posterior(moved) < here


def test_two_tasks_teach_nothing_of_trust() -> None:
    few = bank_of(GRID, [additive(1), additive(2)], CONFIGS)
    assert TransferPrior(few).weights is CAUTIOUS


def test_tasks_without_anything_in_common_are_trusted_less() -> None:
    rng = np.random.default_rng(5)
    noise = [dict(zip(map(str, CONFIGS), rng.normal(size=256), strict=True)) for _ in range(6)]
    strangers = bank_of(GRID, [lambda c, n=n: n[str(c)] for n in noise], CONFIGS)  # type: ignore[misc]
    related, alien = TransferPrior(RELATED).weights, TransferPrior(strangers).weights
    assert sum(alien.kernels[:4]) + alien.mean < 0.5 * (sum(related.kernels[:4]) + related.mean)


def test_an_empty_bank_is_refused() -> None:
    with pytest.raises(BankError, match="says nothing of space 'grid'"):
        TransferPrior(RELATED.only([]))


def test_the_same_scores_are_learned_from_once() -> None:
    assert transfer_prior_of(RELATED) is transfer_prior_of(RELATED)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_weights_are_those_of_version_0_1(space: Space) -> None:
    weights = TransferPrior(scores_of(space)).weights
    check(f"weights {space.name}", [*weights.kernels, weights.noise, weights.mean])
