"""GP-MBTL, M-MBTL and their switch: published behaviour."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from bequest.search.task_selection import make_selector
from bequest.search.task_selection.published import GPMBTLSelector, MGPMBTLSelector, MMBTLSelector
from tests.search.proposals import asked, check
from tests.search.task_selection.matrices import LINE, LINE_41, grid, mountain, run


def test_m_mbtl_places_facilities() -> None:
    selector = MMBTLSelector(np.arange(9.0))
    assert selector.ask() == 4
    selector.tell(4, np.zeros(9))
    assert selector.ask() in (1, 2, 6, 7)


def test_gp_mbtl_starts_in_the_middle_and_then_serves_who_is_worst() -> None:
    contexts = grid(5, 2)
    selector = GPMBTLSelector(contexts)
    assert tuple(contexts[selector.ask()]) == (2, 2)
    row = np.linspace(1, 0, 25)
    selector.tell(12, row)
    assert selector.ask() == 24


def test_gp_mbtl_fits_slopes_of_either_side() -> None:
    contexts = grid(6, 2)
    difference = contexts[:, None] - contexts[None]
    gap = np.minimum(difference, 0) @ [-2.0, 1.0] + np.maximum(difference, 0) @ [3.0, 3.0]
    selector = GPMBTLSelector(contexts)
    run(selector, 100 - gap, 6)
    left, right = selector.slopes()
    assert left == pytest.approx([2.0, -1.0], abs=1e-6)
    assert right == pytest.approx([-3.0, -3.0], abs=1e-6)


def test_the_switch_sees_mountains() -> None:
    contexts = grid(6, 2)
    plain = MGPMBTLSelector(contexts)
    run(plain, mountain(contexts), 6)
    assert plain.looks_like_a_mountain()
    tilted = MGPMBTLSelector(contexts)
    run(tilted, mountain(contexts) + 2 * contexts.sum(1)[:, None], 6)
    assert not tilted.looks_like_a_mountain()


def by_the_paper(selector: GPMBTLSelector, rows: np.ndarray, bonus: float) -> int:
    """Equation 8 of the paper with scikit-learn's process, as the published code does it."""
    trained, contexts = selector.trained, selector.contexts
    process = GaussianProcessRegressor(
        ConstantKernel(1.0, (1e-3, 1e3)) * RBF(1.0, (1e-2, 1e2)), alpha=0.01
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(contexts[trained], rows[np.arange(len(trained)), trained])
    mean, deviation = process.predict(contexts, return_std=True)
    hopeful = mean + bonus * deviation
    gap = selector.slope * np.abs(np.arange(len(contexts))[:, None] - np.arange(len(contexts)))
    gains = np.maximum(hopeful[:, None] - gap - rows.max(0), 0).mean(1)
    gains[trained] = -np.inf
    return int(gains.argmax())


def test_gp_mbtl_asks_for_what_the_paper_asks_for() -> None:
    """Its bonus is sqrt(ln(k + 1)) deviations: without it other sources would be chosen."""
    differ = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        contexts = np.linspace(0, 5, 30)
        training = np.cumsum(rng.normal(size=30)) / 10
        matrix = training[:, None] - 0.01 * np.abs(np.arange(30)[:, None] - np.arange(30))
        selector = GPMBTLSelector(contexts)
        run(selector, matrix, 3)
        rows = matrix[selector.trained]
        bonus = math.sqrt(math.log(4))
        asked = selector.ask()
        assert asked == by_the_paper(selector, rows, bonus)
        differ += asked != by_the_paper(selector, rows, 0.0)
        differ += asked != by_the_paper(selector, rows, 3 * bonus)
    assert differ >= 3


def test_in_one_dimension_the_slope_is_given_by_the_index() -> None:
    selector = GPMBTLSelector(np.linspace(0, 5, 30), slope=0.02)
    below, above = selector._sides()
    assert below == pytest.approx([0.02 * 29 / 5])
    assert above == pytest.approx([-0.02 * 29 / 5])
    gap = selector._gap(np.array([4]), below, above)
    assert gap[0] == pytest.approx(0.02 * np.abs(np.arange(30) - 4))


def test_pending_sources_count_as_expected() -> None:
    selector = GPMBTLSelector(np.linspace(0, 5, 30))
    run(selector, mountain(np.arange(30.0)[:, None]), 2)
    first = selector.ask()
    assert abs(selector.ask([first]) - first) >= 2, "not the neighbour, which is next best alone"


def test_without_its_own_cell_a_row_stands_for_it() -> None:
    row = np.linspace(1, 0, 21)
    row[10] = np.nan
    selector = GPMBTLSelector(LINE)
    selector.tell(10, row)
    mean, _ = selector._training(np.array([10]))
    assert mean[0] == pytest.approx(np.nanmean(row), rel=0.1)


def test_m_mbtl_minimises_the_distance_of_all_to_their_nearest() -> None:
    contexts = grid(5, 2)
    selector = MMBTLSelector(contexts)
    run(selector, mountain(contexts), 3)
    gaps = np.abs(contexts[:, None] - contexts).sum(2)
    nearest = gaps[selector.trained].min(0)
    sums = np.minimum(nearest, gaps).sum(1)
    sums[selector.trained] = np.inf
    assert sums[selector.ask()] == sums.min()
    batch = selector.ask_batch(2)
    both = np.minimum(nearest, gaps[batch].min(0)).sum()
    assert both < sums.min()


def test_the_switch_waits_for_five_rows() -> None:
    contexts = grid(6, 2)
    matrix = 3 * contexts.sum(1)[:, None] - np.abs(contexts[:, None] - contexts).sum(2)
    selector, mountains = MGPMBTLSelector(contexts), MMBTLSelector(contexts)
    run(mountains, matrix, 5)
    run(selector, matrix, 5)
    assert selector.trained == mountains.trained
    assert selector.ask() == 35, "the best training of all"
    assert mountains.ask() != 35


@pytest.mark.parametrize("name", ["gp-mbtl", "m-mbtl", "m/gp-mbtl"])
def test_sources_are_those_of_version_0_1(name: str) -> None:
    check(f"{name} grid", asked(make_selector(name, grid(6, 2), seed=2), 8))
    check(f"{name} line", asked(make_selector(name, LINE_41, seed=2), 6))
