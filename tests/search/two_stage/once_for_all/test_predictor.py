"""The predictor: what it learns, what it carries over from floats to bits, what it forgets not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.common.errors import EvaluationError
from bequest.search.two_stage.once_for_all.predictor import (
    Fitting,
    Predictor,
    Samples,
    pairwise_accuracy,
)
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_encoding import encode
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


def weights_of(predictor: Predictor) -> torch.Tensor:
    """All weights of its members, one after another."""
    states = [state.values() for state in predictor.knowledge.weights]
    return torch.cat([value.flatten() for state in states for value in state])


def moved(**settings: float) -> torch.Tensor:
    """How far one fit moves each weight."""
    chosen = {"members": 1, "steps": 1, "batch": 64, "learning_rate": 0.01, "weight_decay": 0.0}
    predictor = Predictor(SMALL, Fitting(**{**chosen, **settings}), seed=3)  # type: ignore[arg-type]
    before = weights_of(predictor)
    predictor.fit(samples(40, 0, bits=False))
    return weights_of(predictor) - before


def test_one_step_is_adams() -> None:
    """Adam's first step is the rate, against the sign of the gradient."""
    predictor = Predictor(SMALL, Fitting(members=1, steps=1, batch=64, weight_decay=0.0), seed=3)
    data = samples(40, 0, bits=False)
    (network,) = predictor._members
    target = (data.accuracies - data.accuracies.mean()) / data.accuracies.std()
    inputs = torch.from_numpy(encode(data.networks)[0])
    loss = (network(inputs) - torch.tensor(target).float()).square().mean()
    slopes = torch.cat([g.flatten() for g in torch.autograd.grad(loss, network.parameters())])
    change = moved()
    clear = slopes.abs() > 1e-4
    assert clear.float().mean() > 0.2
    assert torch.allclose(change[clear], -0.01 * slopes[clear].sign(), rtol=1e-2)


def test_each_setting_of_a_fit_changes_it() -> None:
    assert moved(learning_rate=0.02).abs().max() == pytest.approx(0.02, rel=1e-3)
    assert (moved(weight_decay=1.0) != moved()).float().mean() > 0.1
    decayed = moved(weight_decay=1e4)
    start = weights_of(Predictor(SMALL, Fitting(members=1), seed=3))
    clear = start.abs() > 1e-3
    assert torch.allclose(decayed[clear], -0.01 * start[clear].sign(), rtol=1e-2)
    # Two steps of a cosine: the second has half the rate.
    assert moved(steps=2).abs().max() <= 0.0151
    assert moved(steps=2).abs().max() > 0.0145
    assert (moved(batch=8) != moved()).any()
    members = Predictor(SMALL, Fitting(members=3), seed=0)
    assert len(members.knowledge.weights) == 3


def test_the_prediction_is_the_mean_of_the_members_and_its_spread_theirs() -> None:
    predictor = Predictor(SMALL, Fitting(members=3, steps=5), seed=1)
    data = samples(30, 0, bits=False)
    predictor.fit(data)
    inputs = torch.from_numpy(encode(data.networks)[0])
    with torch.no_grad():
        each = torch.stack([m(inputs) for m in predictor._members]).double().numpy()
    scale = data.accuracies.std()
    said, spread = predictor.predict(data.networks)
    np.testing.assert_allclose(said, data.accuracies.mean() + scale * each.mean(0), rtol=1e-6)
    np.testing.assert_allclose(spread, scale * each.std(0), rtol=1e-5)
