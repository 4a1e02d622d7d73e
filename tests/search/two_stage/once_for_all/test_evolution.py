"""Repair, evolution, the archive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bequest.common.errors import StudyError, UnknownNameError
from bequest.evaluators.hardware.model import LayerCostModel
from bequest.evaluators.hardware.table import Cost, CostTable
from bequest.evaluators.hardware.totals import NetworkCosts
from bequest.evaluators.limits import parse_limit
from bequest.evaluators.once_for_all.evaluator import ends
from bequest.search.pareto import hypervolume, on_front
from bequest.search.two_stage.once_for_all.evolution import (
    MARGIN,
    Evolution,
    Evolving,
    check_targets,
    targets,
)
from bequest.search.two_stage.once_for_all.population import crossover, mutate
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks, joined
from tests.search.proposals import check

HEAD, TAIL = ends(SMALL, 1, 10, 28)
COSTS = NetworkCosts(SMALL, LayerCostModel.load().table(SMALL, HEAD, TAIL), HEAD, TAIL)


def score(networks: Networks) -> np.ndarray:
    """Channels, kernels and depth help; bits of the first block matter most."""
    there = networks.there
    weight = np.linspace(3, 1, there.shape[1])
    good = networks.channels / 4 + networks.kernel / 3 + 1 - 0.3 * (2 - networks.bits).sum(2)
    return np.asarray((good * weight * there).sum(1))


RNG = np.random.default_rng(0)


# Repair -------------------------------------------------------------------------------------------


# Breeding -----------------------------------------------------------------------------------------


def test_crossover_takes_whole_blocks_of_either_parent() -> None:
    first, second = (Networks.sample(SMALL, 30, np.random.default_rng(i)) for i in (1, 2))
    child = crossover(first, second, RNG)
    genes = [np.concatenate([n.kernel[:, :, None], n.channels[:, :, None], n.bits], 2)
             for n in (first, second, child)]  # fmt: skip
    from_first, from_second = ((genes[2] == g).all(2) for g in genes[:2])
    assert (from_first | from_second).all()
    assert 0.3 < from_first.mean() < 0.8


def test_depths_mutate_too() -> None:
    networks = Networks.default(SMALL, 200)
    made = mutate(networks, 0.1, RNG)
    assert (made.depth != networks.depth).any()
    changed = (made.kernel != networks.kernel) | (made.bits != networks.bits).any(2)
    assert 0.02 < changed.mean() < 0.15


def evolved(*limits: str, seed: int = 0, rounds: int = 15) -> Evolution:
    asked = [parse_limit(text) for text in limits]
    evolution = Evolution(COSTS, score, asked, Evolving(rounds=rounds, children=40), seed=seed)
    evolution.run()
    return evolution


def test_a_search_keeps_its_limits_and_repeats_nothing() -> None:
    scored: list[bytes] = []

    def remember(networks: Networks) -> np.ndarray:
        scored.extend(networks.keys())
        return score(networks)

    asked = [parse_limit("latency=0.2ms"), parse_limit("latency=0.3ms")]
    evolution = Evolution(COSTS, remember, asked, Evolving(rounds=15, children=40), seed=0)
    learning = len(scored)
    archive = evolution.run()
    assert evolution.calls == len(scored)
    assert len(set(scored[learning:])) == len(scored) - learning
    assert evolution.repaired[1] >= 0.99 * evolution.repaired[0]
    assert archive.losses[:, 1].max() <= 0.3 * (1 + 1e-9)
    tight, loose = (evolution.best(target) for target in evolution.asked)
    assert COSTS.total(tight, "latency")[0] <= 0.2 * (1 + 1e-9)
    assert score(loose)[0] >= score(tight)[0]
    drawn = Networks.sample(SMALL, 15 * 40, np.random.default_rng(5))
    feasible = COSTS.total(drawn, "latency") <= 0.2
    assert score(tight)[0] > score(drawn)[feasible].max()


def test_genes_may_be_fixed() -> None:
    fixed = Networks.default(SMALL, 1)
    limits = [parse_limit("latency=0.3ms")]
    settings = Evolving(rounds=4, children=30)
    evolution = Evolution(COSTS, score, limits, settings, seed=0, free=("bits",), fixed=fixed)
    found = evolution.run().networks
    assert found is not None
    assert len(found) > 3
    for name in ("depth", "kernel", "channels"):
        assert (getattr(found, name) == getattr(fixed, name)).all()


def test_a_seed_is_a_search() -> None:
    first, second, other = (evolved("latency=0.2ms", seed=s, rounds=5) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.archive.losses, second.archive.losses)
    assert not np.array_equal(first.archive.losses, other.archive.losses)


def test_without_limits_there_is_a_front() -> None:
    archive = evolved(rounds=8).archive
    assert np.ptp(archive.losses[:, 1]) > 0.1
    assert on_front(archive.losses).all()


def test_several_costs_are_kept_at_once() -> None:
    evolution = evolved("latency=0.2ms", "size=30kB", rounds=6)
    assert evolution.repaired[1] >= 0.99 * evolution.repaired[0]
    found = evolution.best(evolution.asked[0])
    costs = COSTS(found, ["latency", "size"])[0]
    assert (costs <= np.array([0.2, 30_000]) * (1 + 1e-9)).all()


def test_limits_that_no_network_meets_together_are_named() -> None:
    """On a machine where few bits are slow, the smallest network is not the fastest."""
    table = CostTable(
        {
            key: Cost(cost.latency if "-W8" in key else 1.0, cost.energy)
            for key, cost in LayerCostModel.load().table(SMALL, HEAD, TAIL).entries.items()
        }
    )
    costs = NetworkCosts(SMALL, table, HEAD, TAIL)
    asked = [parse_limit("latency=2.2s"), parse_limit(f"size={costs.smallest('size') * 1.1}B")]
    asked[0] = replace(asked[0], value=costs.smallest("latency") * 1.2)
    evolution = Evolution(costs, score, asked, Evolving(rounds=2, children=20), seed=0)
    with pytest.raises(StudyError, match=r"no network meets latency=.*ms, size=.*B together"):
        evolution.run()


def test_each_target_is_tried_before_anything_is_trained() -> None:
    within = [parse_limit("latency=0.2ms"), parse_limit("energy=0.15mJ")]
    check_targets(COSTS, within)
    tight = f"latency={1.11 * COSTS.smallest('latency')}ms"
    energy = parse_limit(f"energy={1.11 * COSTS.smallest('energy')}mJ")
    check_targets(COSTS, [parse_limit(tight)])
    check_targets(COSTS, [energy])
    with pytest.raises(StudyError, match=r"no network meets latency=.* together"):
        check_targets(COSTS, [within[0], parse_limit(tight), energy])


def test_mutants_are_of_the_space_and_of_what_is_searched() -> None:
    base = Networks.sample(SMALL, 1, RNG)
    evolution = Evolution(COSTS, score, free=("bits",), fixed=base)
    made = evolution.mutants(joined([base] * 2_000), RNG)
    assert len(made) > 1_000
    assert made.valid.all()
    for name in ("depth", "kernel", "channels"):
        assert (getattr(made, name) == getattr(base, name)).all()
    assert (made.bits != base.bits).any()


def test_limits_combine_and_hopeless_ones_are_refused() -> None:
    limits = [parse_limit(t) for t in ("latency=0.2ms", "latency=0.3ms", "size=40kB")]
    assert targets(COSTS, limits) == [
        {"latency": 0.2, "size": 40_000},
        {"latency": 0.3, "size": 40_000},
    ]
    with pytest.raises(StudyError, match="leaves no choice: the cheapest network has latency"):
        targets(COSTS, [parse_limit("latency=1us")])
    with pytest.raises(UnknownNameError, match="memory"):
        targets(COSTS, [parse_limit("memory=1GB")])


# The archive --------------------------------------------------------------------------------------


def test_hypervolume_of_a_square_and_of_nothing() -> None:
    reference = np.array([1.0, 1.0])
    assert hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]), reference) == pytest.approx(0.75)
    assert hypervolume(np.array([[2.0, 0.0]]), reference) == 0.0


def test_the_ladder_is_even_on_a_logarithmic_scale() -> None:
    limits = [parse_limit("latency=0.4ms"), parse_limit("latency=0.2ms")]
    evolution = Evolution(COSTS, score, limits, Evolving(rungs=4), seed=0)
    assert evolution._targets[:2, 0].tolist() == [0.4, 0.2]
    rungs = np.append(evolution._targets[2:, 0], 0.4)
    assert rungs[0] == pytest.approx(MARGIN * COSTS.smallest("latency"))
    assert len(rungs) == 4
    assert np.diff(np.log(rungs)) == pytest.approx(np.full(3, np.log(rungs[-1] / rungs[0]) / 3))
    free = Evolution(COSTS, score, (), Evolving(rungs=4), seed=0)
    assert len(free._targets) == 5
    drawn = Networks.sample(SMALL, 4_000, np.random.default_rng(1))
    loosest = np.quantile(COSTS.total(drawn, "latency"), 0.9)
    ratio = (free._targets[1:] / free._targets[:-1]).ravel()
    assert ratio == pytest.approx(np.full(4, ratio[0]))
    assert free._targets[-1, 0] == pytest.approx(loosest, rel=0.05)


def test_half_of_the_children_are_mutants_and_half_crossovers() -> None:
    evolution = evolved("latency=0.3ms", rounds=3)
    assert evolution._pool is not None
    parents = evolution._pool.networks
    children = evolution._children(np.zeros(40, dtype=int))
    assert len(children) == 40

    def of_one_parent(networks: Networks) -> np.ndarray:
        """The largest share of blocks that a child has in common with one parent."""
        same = networks.kernel[:, None] == parents.kernel
        same = same & (networks.channels[:, None] == parents.channels)
        same = same & (networks.bits[:, None] == parents.bits).all(3)
        return np.asarray(same.mean(2).max(1))

    mutants, crossed = of_one_parent(children[:20]), of_one_parent(children[20:])
    assert mutants.mean() > crossed.mean()
    assert evolution.calls > 0


def test_the_front_is_that_of_version_0_1() -> None:
    evolution = evolved("latency=0.2ms", "size=30kB", seed=1, rounds=6)
    losses = evolution.archive.losses
    best = losses[np.argsort(losses[:, 0], kind="stable")][:12]
    check("evolution front", [*best.ravel().tolist(), float(evolution.calls)])
