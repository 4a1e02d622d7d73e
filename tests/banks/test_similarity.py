"""Similarity of tasks: exact small cases, and a projection that learns what there is to learn."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from bequest import Parameter, Space
from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.banks.similarity import Projection, anchors, kendall_matrix, predicted_similarity
from bequest.common.errors import BankError

NAN = np.nan


def test_tau_counts_shared_designs_only() -> None:
    scores = np.array([[1.0, 2, 3, NAN, 0], [1, 3, 2, 9, NAN], [NAN, NAN, NAN, 4, 5]])
    tau = kendall_matrix(scores)
    assert tau[0, 1] == tau[1, 0] == pytest.approx(1 / 3)  # two pairs agree, one does not
    assert np.isnan(tau[0, 2])
    assert np.isnan(tau[1, 2])
    assert (np.diag(tau) == 1).all()


def test_ties_are_accounted_for() -> None:
    tau = kendall_matrix(np.array([[1.0, 1, 2, 3], [1, 2, 3, 4], [5, 5, 5, 5]]))
    assert tau[0, 1] == pytest.approx(5 / np.sqrt(5 * 6))  # tau-b
    assert np.isnan(tau[0, 2])


def test_only_the_order_of_scores_counts() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 20))
    np.testing.assert_allclose(kendall_matrix(scores), kendall_matrix(np.exp(3 * scores)))


def test_anchors_are_the_medians_of_even_slices() -> None:
    quality = np.array([5.0, 1, 9, 3, 7, 2, 8, 4, 6])
    chosen = anchors(np.array([quality, 10 * quality]), 3)
    assert quality[chosen].tolist() == [8, 5, 2]


def test_anchors_do_not_depend_on_a_tasks_scale_nor_on_how_much_it_knows() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 24))
    scores[:, 7] = NAN
    chosen = anchors(scores, 4)
    assert 7 not in chosen
    scores[1] = 100 + 50 * scores[1]
    assert anchors(scores, 4).tolist() == chosen.tolist()
    quality = np.arange(12.0)
    half = np.where(np.arange(12) % 2, quality, NAN)
    assert anchors(np.array([quality, half]), 12).tolist() == list(range(11, -1, -1))


def test_too_many_anchors_are_refused() -> None:
    with pytest.raises(BankError, match="4 anchors of 2 scored designs"):
        anchors(np.array([[1.0, 2.0, NAN]]), 4)


def _families(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Fingerprints ``[count, 12]`` of which one place tells the family, and the families."""
    family = np.arange(count) % 2
    fingerprints = rng.normal(size=(count, 12))
    fingerprints[:, 3] = 4.0 * family + 0.1 * fingerprints[:, 3]
    return 100 * fingerprints, family


def test_the_projection_finds_relatives_of_a_new_task() -> None:
    rng = np.random.default_rng(0)
    fingerprints, family = _families(rng, 60)
    tau = np.where(family[:, None] == family, 0.8, 0.1)
    projection = Projection().fit(fingerprints, tau)
    new, its = _families(rng, 20)
    similarity = projection(new) @ projection(fingerprints).T
    same = its[:, None] == family
    nearest = np.argsort(-similarity, axis=1)[:, :3]
    found = np.take_along_axis(same, nearest, axis=1).mean()
    plain = np.linalg.norm((new[:, None] - fingerprints) / fingerprints.std(axis=0), axis=2)
    rival = np.take_along_axis(same, np.argsort(plain, axis=1)[:, :3], axis=1).mean()
    assert found > 0.95
    assert found > rival + 0.1
    np.testing.assert_allclose(np.linalg.norm(projection(new), axis=1), 1, rtol=1e-5)


def test_fitting_is_deterministic_and_survives_gaps() -> None:
    rng = np.random.default_rng(2)
    fingerprints = rng.normal(size=(6, 4))
    fingerprints[:, 1] = 3.0  # says nothing
    tau = kendall_matrix(rng.normal(size=(6, 15)))
    tau[0, 1] = tau[1, 0] = NAN
    first = Projection(seed=5).fit(fingerprints, tau)(fingerprints)
    assert np.isfinite(first).all()
    assert (Projection(seed=5).fit(fingerprints, tau)(fingerprints) == first).all()


def _scores(values: np.ndarray) -> Scores:
    space = Space("line", [Parameter("x", FloatDistribution(0, 1))])
    tasks = tuple(BankTask(f"t{i}", "accuracy") for i in range(len(values)))
    configs = tuple({"x": x} for x in np.linspace(0, 1, values.shape[1]).tolist())
    return Scores(space, tasks, configs, values, ("",) * len(configs))


def test_similarity_is_predicted_for_a_task_without_scores() -> None:
    rng = np.random.default_rng(3)
    fingerprints, family = _families(rng, 12)
    shapes = rng.normal(size=(2, 30))
    scores = _scores(shapes[family] + 0.3 * rng.normal(size=(12, 30)))
    known = {f"t{i}": vector for i, vector in enumerate(fingerprints) if i != 5}
    alike = predicted_similarity(scores, known, fingerprints[5])
    assert alike.keys() == known.keys()
    assert min(alike.values()) == 0
    assert max(alike.values()) == pytest.approx(0.9)
    order = sorted(alike, key=lambda name: -alike[name])
    assert all(int(name[1:]) % 2 == 1 for name in order[:3])


def test_nothing_is_predicted_from_two_tasks() -> None:
    scores = _scores(np.random.default_rng(0).normal(size=(2, 10)))
    known = {"t0": np.ones(3), "t1": np.zeros(3)}
    assert predicted_similarity(scores, known, np.ones(3)) == {}


def test_two_tasks_cannot_teach_a_projection() -> None:
    with pytest.raises(BankError, match="three tasks"):
        Projection().fit(np.zeros((2, 4)), np.eye(2))
