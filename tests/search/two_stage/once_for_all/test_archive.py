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
