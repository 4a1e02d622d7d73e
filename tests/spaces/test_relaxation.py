"""From strengths to configurations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from bequest.common.errors import SpaceError
from bequest.spaces.cell import darts_space, nas_bench_201_space
from bequest.spaces.gnn import gnn_space
from bequest.spaces.nas_bench_graph import NasBenchGraphSpace
from bequest.spaces.relaxation import Relaxation, relaxation_of


def drawn(relaxation: Relaxation, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=len(o)) for name, o in relaxation.decisions.items()}


def first(configs: Iterable[object], count: int) -> list[object]:
    return list(itertools.islice(configs, count))


def test_configurations_come_strongest_first_and_once() -> None:
    space = nas_bench_201_space()
    relaxation = relaxation_of(space)
    strengths = drawn(relaxation)
    every = sorted(-relaxation.strength(c, strengths) for c in space.enumerate())
    ranked = first(relaxation.ranked(strengths), 300)
    assert [-relaxation.strength(c, strengths) for c in ranked] == pytest.approx(every[:300])


def test_a_small_space_is_ranked_to_its_end() -> None:
    space = nas_bench_201_space()
    relaxation = relaxation_of(space)
    strengths = {name: np.full(5, -np.inf) for name in relaxation.decisions}
    for values in strengths.values():
        values[:2] = (0.0, 1.0)
    assert len(list(relaxation.ranked(strengths))) == 2**6


def test_darts_keeps_the_two_strongest_edges_and_never_none() -> None:
    relaxation = relaxation_of(darts_space())
    strengths = {name: np.zeros(8) for name in relaxation.decisions}
    strengths["normal4_1"][4] = 3.0
    strengths["normal4_3"][0] = 9.0  # none: counts for nothing
    strengths["normal4_2"][7] = 1.0
    config = relaxation.choose(strengths)
    assert darts_space().validate(config) == config
    assert config["normal4_inputs"] == "12"
    assert (config["normal4_op0"], config["normal4_op1"]) == ("sep_conv_3x3", "dil_conv_5x5")
    assert ("normal4_1", "sep_conv_3x3") in relaxation.picks(config)


def test_darts_ranks_valid_and_different_cells() -> None:
    relaxation = relaxation_of(darts_space())
    strengths = drawn(relaxation)
    ranked = first(relaxation.ranked(strengths), 40)
    assert len({tuple(c.items()) for c in ranked}) == 40
    values = [relaxation.strength(c, strengths) for c in ranked]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("space", [nas_bench_201_space(), darts_space(), NasBenchGraphSpace()])
def test_skips_are_capped_by_giving_up_the_weakest(space: object) -> None:
    relaxation = relaxation_of(space)  # type: ignore[arg-type]
    strengths = drawn(relaxation)
    skips = ("skip", "skip_connect")
    place = {n: [o in skips for o in options] for n, options in relaxation.decisions.items()}
    strengths = {n: v + 10.0 * np.array(place[n]) for n, v in strengths.items()}
    free = next(relaxation.ranked(strengths))
    assert len(relaxation.skips(free)) >= 3
    capped = next(relaxation.ranked(strengths, max_skips=2))
    kept = {pick: strengths[pick[0]].max() for pick in relaxation.skips(free)}
    strongest = sorted(kept, key=lambda pick: -kept[pick])[:2]
    assert set(relaxation.skips(capped)) == set(strongest)
    assert all(len(relaxation.skips(c)) <= 2 for c in first(relaxation.ranked(strengths, 2), 20))


def test_a_network_that_only_skips_is_passed_over() -> None:
    relaxation = relaxation_of(NasBenchGraphSpace())
    strengths = {
        n: np.array([o == "skip" for o in v], float) for n, v in relaxation.decisions.items()
    }
    strengths["op3"][0] = 0.9
    config = next(relaxation.ranked(strengths))
    assert [config[f"op{i}"] for i in range(1, 5)] == ["skip", "skip", "gat", "skip"]


def test_what_is_no_plain_choice_cannot_be_relaxed() -> None:
    with pytest.raises(SpaceError, match="'gnn' cannot be relaxed: parameter 'aggregation'"):
        relaxation_of(gnn_space())
