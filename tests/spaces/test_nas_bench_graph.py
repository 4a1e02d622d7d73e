"""NAS-Bench-Graph's space: published counts, and what makes two points one network."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bequest.common.errors import ConfigurationError, UnknownNameError
from bequest.spaces import Config, Space
from bequest.spaces.nas_bench_graph import LINKS, OPERATIONS, NasBenchGraphSpace, tree_of

SPACE = NasBenchGraphSpace()
ALL_SKIP = {f"op{i}": "skip" for i in range(1, 5)}


def point(links: str, *operations: str) -> Config:
    return {"links": links, **{f"op{i + 1}": name for i, name in enumerate(operations)}}


def points() -> st.SearchStrategy[Config]:
    operation = st.sampled_from(OPERATIONS)
    made = st.builds(point, st.sampled_from(LINKS), operation, operation, operation, operation)
    return made.filter(lambda config: not ALL_SKIP.items() <= config.items())


def test_the_published_numbers() -> None:
    everything = [
        point(links, *operations)
        for links in LINKS
        for operations in itertools.product(OPERATIONS, repeat=4)
    ]
    valid = [config for config in everything if not ALL_SKIP.items() <= config.items()]
    assert len(everything) == 59_049
    assert len(valid) == 59_040
    assert len({tree_of(config) for config in valid}) == 26_206
    assert SPACE.size == 26_206
    assert len({tuple(config.items()) for config in SPACE.enumerate()}) == 26_206


@pytest.mark.parametrize("links", LINKS)
def test_nothing_but_skips_is_no_network(links: str) -> None:
    with pytest.raises(ConfigurationError, match="'skip'"):
        SPACE.validate({"links": links, **ALL_SKIP})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Interchangeable siblings.
        (point("0000", "gat", "gcn", "gin", "fc"), point("0000", "fc", "gin", "gcn", "gat")),
        (point("0011", "gat", "gcn", "gin", "fc"), point("0011", "gat", "gcn", "fc", "gin")),
        # A chain: where its one skip stands does not matter.
        (point("0123", "gat", "skip", "gcn", "gin"), point("0123", "skip", "gat", "gcn", "gin")),
        (point("0123", "gat", "gcn", "gin", "skip"), point("0123", "skip", "gat", "gcn", "gin")),
        # A skip with a child: the child hangs on the input.
        (point("0012", "skip", "gat", "gcn", "gin"), point("0012", "gat", "skip", "gin", "gcn")),
    ],
)
def test_one_network(one: Config, other: Config) -> None:
    assert SPACE.canonical(one) == SPACE.canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (point("0123", "gat", "gcn", "gin", "fc"), point("0123", "gcn", "gat", "gin", "fc")),
        # A skip beside a sibling is an output of its own.
        (point("0111", "gat", "gcn", "gin", "skip"), point("0111", "gat", "gcn", "gin", "gin")),
        (point("0011", "gat", "gcn", "gin", "skip"), point("0012", "gat", "gcn", "gin", "skip")),
    ],
)
def test_two_networks(one: Config, other: Config) -> None:
    assert SPACE.canonical(one) != SPACE.canonical(other)


@given(points())
def test_the_canonical_point_builds_the_same_network(config: Config) -> None:
    canonical = SPACE.canonical(config)
    assert SPACE.validate(canonical) == canonical
    assert tree_of(canonical) == tree_of(config)
    assert SPACE.canonical(canonical) == canonical


@given(points())
def test_features_describe_the_network_not_the_point(config: Config) -> None:
    both = SPACE.features([config, SPACE.canonical(config)])
    assert np.array_equal(both[0], both[1])
    assert (both >= 0).all()
    assert both.sum() > 0


def test_features_tell_networks_apart() -> None:
    rows = SPACE.features(list(SPACE.enumerate()))
    assert rows.shape[0] == 26_206
    assert len(np.unique(rows, axis=0)) > 0.9 * len(rows)


@given(st.integers(0, 2**32 - 1), st.sampled_from(OPERATIONS), st.sampled_from(LINKS))
def test_sample_keeps_what_is_given(seed: int, operation: str, links: str) -> None:
    config = SPACE.sample(np.random.default_rng(seed), {"links": links, "op2": operation})
    assert SPACE.validate(config)["links"] == links
    assert config["op2"] == operation


@given(st.integers(0, 2**32 - 1))
def test_sample_repairs_what_would_be_no_network(seed: int) -> None:
    SPACE.validate(SPACE.sample(np.random.default_rng(seed), {"links": "0123", **ALL_SKIP}))


def test_sample_is_uniform_over_networks() -> None:
    """A chain of skips and one operation is one network, however many points build it."""
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(20_000)]
    everything = list(SPACE.enumerate())
    for links in LINKS:
        share = np.mean([config["links"] == links for config in drawn])
        assert share == pytest.approx(
            np.mean([config["links"] == links for config in everything]), abs=0.012
        )


def test_json_brings_back_the_class() -> None:
    again = Space.from_json(json.loads(json.dumps(SPACE.to_json())))
    assert isinstance(again, NasBenchGraphSpace)
    assert again.size == 26_206


def test_json_of_an_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'nas-bench-graph'"):
        Space.from_json({**SPACE.to_json(), "kind": "nas-bench-grph"})
