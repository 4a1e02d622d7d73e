"""The archive of a front."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.search.pareto import on_front
from bequest.search.two_stage.once_for_all.archive import Archive
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_the_archive_is_the_front_of_all_that_came(seed: int) -> None:
    rng = np.random.default_rng(seed)
    archive = Archive()
    everything = []
    for _ in range(4):
        networks = Networks.sample(SMALL, 25, rng)
        accuracy, costs = rng.integers(0, 5, 25) / 5, rng.integers(0, 6, (25, 2)).astype(float)
        archive.add(networks, accuracy, costs)
        everything.append(np.column_stack([-accuracy, costs]))
    losses = np.unique(np.concatenate(everything), axis=0)
    np.testing.assert_array_equal(np.unique(archive.losses, axis=0), losses[on_front(losses)])
    assert len(archive.losses) == on_front(losses).sum()
    assert archive.networks is not None
    assert len(archive.networks) == len(archive.losses)


def test_the_best_within_limits_come_first() -> None:
    archive = Archive()
    networks = Networks.sample(SMALL, 4, np.random.default_rng(0))
    accuracy, costs = np.array([0.9, 0.8, 0.7, 0.6]), np.array([[9, 1], [5, 5], [3, 6], [1, 2.0]])
    archive.add(networks, accuracy, costs)
    assert archive.within(np.array([9, 9])).tolist() == [0, 1, 2, 3]
    assert archive.within(np.array([5, 5])).tolist() == [1, 3], "a limit itself is met"
    assert archive.within(np.array([np.inf, 0.5])).tolist() == []


def test_a_long_front_is_cut_to_what_one_cost_needs() -> None:
    """Rows that are on the front of accuracy and one cost alone go before the others."""
    archive = Archive(most=4)
    networks = Networks.sample(SMALL, 6, np.random.default_rng(0))
    accuracy = np.array([0.9, 0.8, 0.7, 0.6, 0.85, 0.65])
    costs = np.array([[9, 9], [5, 8], [3, 7], [1, 1], [8, 8.5], [2.5, 6.9]])
    archive.add(networks, accuracy, costs + 1e-3 * np.arange(6)[:, None])
    assert len(archive.losses) == 4
    assert archive.networks is not None
    assert -archive.losses[:, 0].min() == 0.9


def test_what_is_beaten_or_equalled_goes() -> None:
    archive = Archive()
    first, better, equal = (Networks.sample(SMALL, 1, np.random.default_rng(i)) for i in range(3))
    archive.add(first, np.array([0.5]), np.array([[2.0]]))
    archive.add(equal, np.array([0.5]), np.array([[2.0]]))
    assert archive.networks is not None
    assert archive.networks.keys() == first.keys(), "of equals the first stays"
    archive.add(better, np.array([0.6]), np.array([[2.0]]))
    assert archive.networks.keys() == better.keys()
    assert archive.losses.tolist() == [[-0.6, 2.0]]
