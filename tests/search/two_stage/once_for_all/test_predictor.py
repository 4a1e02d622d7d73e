"""The predictor: what it learns, what it carries over from floats to bits, what it forgets not."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.common.errors import EvaluationError
from bequest.search.two_stage.once_for_all.predictor import (
    Fitting,
    Predictor,
    Samples,
    pairwise_accuracy,
)
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks

QUICK = Fitting(members=2, steps=120, batch=32)


def accuracy(networks: Networks, *, bits: bool) -> np.ndarray:
    """More channels, larger kernels and more blocks are better; so are more bits."""
    there = networks.there
    said = (networks.channels * there).sum(1) / 30 + (networks.kernel * there).sum(1) / 20
    lost = ((2 - networks.bits).sum(2) * there).sum(1) / 30 if bits else 0
    return np.asarray(0.9 + 0.01 * (said - lost))


def samples(count: int, seed: int, *, bits: bool) -> Samples:
    networks = Networks.sample(SMALL, count, np.random.default_rng(seed))
    return Samples(networks, accuracy(networks, bits=bits))


def quality(predictor: Predictor, test: Samples) -> float:
    return pairwise_accuracy(predictor.predict(test.networks)[0].tolist(), test.accuracies.tolist())


def test_what_is_known_of_floats_helps_with_bits() -> None:
    test = samples(200, 9, bits=True)
    few = samples(30, 8, bits=True)
    scratch = Predictor(SMALL, QUICK).transfer(few)
    taught = Predictor(SMALL, QUICK).fit(samples(300, 7, bits=False)).transfer(few)
    assert quality(taught, test) > quality(scratch, test) + 0.03
    assert quality(taught, test) > 0.75


def test_a_bit_changes_what_is_predicted_once_bits_are_learned() -> None:
    predictor = Predictor(SMALL, QUICK).fit(samples(100, 0, bits=False))
    networks = Networks.default(SMALL, 2)
    networks.bits[1, 0, 0] = 0
    mean, _ = predictor.predict(networks)
    assert mean[0] == pytest.approx(mean[1], abs=1e-6)
    mean, spread = predictor.transfer(samples(100, 1, bits=True)).predict(networks)
    assert abs(mean[0] - mean[1]) > 1e-4
    assert (spread > 0).all()


def test_a_seed_is_a_predictor_and_a_state_can_be_restored() -> None:
    data, test = samples(40, 0, bits=False), samples(5, 1, bits=False).networks
    first, second = (Predictor(SMALL, QUICK, seed=3).fit(data) for _ in range(2))
    np.testing.assert_array_equal(first.predict(test)[0], second.predict(test)[0])
    known, said = first.knowledge, first.predict(test)[0]
    assert (first.transfer(samples(40, 2, bits=True)).predict(test)[0] != said).all()
    np.testing.assert_array_equal(first.restore(known).predict(test)[0], said)
    first.fit(data)
    second.fit(data)
    np.testing.assert_array_equal(first.predict(test)[0], second.predict(test)[0])


def test_one_sample_teaches_nothing() -> None:
    with pytest.raises(EvaluationError, match="1 measured networks teach"):
        Predictor(SMALL, QUICK).fit(samples(1, 0, bits=False))


def test_pairs_of_equals_do_not_count() -> None:
    assert pairwise_accuracy([1, 2, 3], [1, 2, 2]) == 1.0
    assert pairwise_accuracy([3, 2, 1], [1, 2, 3]) == 0.0
    assert np.isnan(pairwise_accuracy([1, 2], [5, 5]))
