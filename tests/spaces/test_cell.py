"""Cells as ordinary spaces."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from bequest.common.errors import ConfigurationError, UnknownNameError
from bequest.search.samplers import make_sampler
from bequest.spaces import Space
from bequest.spaces.cell import DARTS_CELLS, darts_edges, darts_space, nas_bench_201_space
from bequest.spaces.named import SPACES, make_space

optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_sizes_are_the_published_ones() -> None:
    assert nas_bench_201_space().size == 15_625
    # 1 * 3 * 6 * 10 pairs of inputs, 7 operations on each of 8 edges, for two cells
    assert darts_space().size == (180 * 7**8) ** 2


@pytest.mark.parametrize("cell", DARTS_CELLS)
def test_every_node_has_two_different_inputs_that_stand_before_it(cell: str) -> None:
    space = darts_space()
    rng = np.random.default_rng(0)
    for _ in range(50):
        edges = darts_edges(space.sample(rng), cell)
        assert [to for _, to, _ in edges] == [2, 2, 3, 3, 4, 4, 5, 5]
        assert all(source < to for source, to, _ in edges)
        assert all(edges[i][0] < edges[i + 1][0] for i in range(0, 8, 2))


@pytest.mark.parametrize("space", [nas_bench_201_space(), darts_space()], ids=lambda s: s.name)
def test_cells_survive_json(space: Space) -> None:
    again = Space.from_json(space.to_json())
    assert again == space
    assert again.default == space.default


@pytest.mark.parametrize("sampler", ["random", "tpe", "evolution", "gp"])
@pytest.mark.parametrize("space", [nas_bench_201_space(), darts_space()], ids=lambda s: s.name)
def test_ordinary_samplers_search_cells(space: Space, sampler: str) -> None:
    study = optuna.create_study(sampler=make_sampler(sampler, space, 0), direction="maximize")
    for _ in range(8):
        trial = study.ask()
        config = space.validate(space.suggest(trial))
        study.tell(trial, sum("conv" in str(v) for v in config.values()))
    assert len({tuple(t.params.values()) for t in study.trials}) > 4


def test_an_unknown_operation_is_refused() -> None:
    config = {**(nas_bench_201_space().default or {}), "e13": "conv"}
    with pytest.raises(ConfigurationError, match="'e13' is 'conv': allowed is one of 'none'"):
        nas_bench_201_space().validate(config)


def test_spaces_by_name() -> None:
    assert {make_space(name).name for name in SPACES} == set(SPACES)
    with pytest.raises(UnknownNameError, match="unknown space 'dart': did you mean 'darts'"):
        make_space("dart")
