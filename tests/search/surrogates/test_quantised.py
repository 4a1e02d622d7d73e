"""The process on bits: finds additive costs in few networks, and knows how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.search.surrogates.quantised import BitsProcess
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
