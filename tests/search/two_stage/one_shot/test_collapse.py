"""Signs of a collapse."""

from __future__ import annotations

from bequest.search.two_stage.one_shot.collapse import WINDOW, diagnose, rises
from bequest.spaces.cell import nas_bench_201_space
from bequest.spaces.relaxation import relaxation_of


def test_rising_eigenvalues_stop_a_search_and_send_it_back() -> None:
    flat, rising = [0.2] * 6, [0.2 * 1.2**i for i in range(9)]
    assert rises(flat + flat) is None
    back = rises(flat + rising)
    assert back is not None
    assert rises((flat + rising)[: back + WINDOW + 1]) == back  # the rule needs no later epoch
    assert rises((flat + rising)[: back + WINDOW]) is None
    assert back < len(flat)


def test_an_all_skip_cell_is_called_a_collapse() -> None:
    relaxation = relaxation_of(nas_bench_201_space())
    config = dict.fromkeys(relaxation.decisions, "skip_connect")
    assert str(diagnose(relaxation, config, [])) == (
        "collapsed: 6 skips and 0 missing edges among 6 decisions"
    )
    fine = {**config, "e01": "nor_conv_3x3", "e12": "nor_conv_1x1", "e23": "avg_pool_3x3"}
    assert not diagnose(relaxation, fine, []).collapsed
