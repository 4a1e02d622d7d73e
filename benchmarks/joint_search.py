"""Joint search of architecture, pruning and quantisation.

``table``: BitFusion's totals, a bit in the predictor, feasibility after repair. ``search``: 500
rounds on the published space beside the published evolution. ``predictor`` and ``joint`` (in
`joint_networks`) train networks of the small space.

``search`` has no trained predictor of the published space: all methods are given the same stand-in,
a fixed function of kernels, channels, depth and bits with random sensitivities and interactions.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import Result, Summary
from benchmarks.published_evolution import PublishedEvolution
from bequest.evaluators.hardware.table import CostTable
from bequest.evaluators.hardware.totals import NetworkCosts
from bequest.evaluators.limits import Limit
from bequest.search.pareto import hypervolume
from bequest.search.two_stage.once_for_all.evolution import MARGIN, Evolution, Evolving
from bequest.search.two_stage.once_for_all.predictor import Fitting, Predictor, Samples
from bequest.spaces.elastic import BITS, PUBLISHED, ROLES
from bequest.spaces.elastic_genes import INPUTS, Networks, joined

PARTS = ("table", "predictor", "search", "joint")
TOTALS = {4: 10.59, 6: 26.22, 8: 26.47}
"""Published: ms of kernel 5, expansion 6, depth 4."""

LIMITS = (6.11, 8.45, 12.17)
"""Milliseconds at which APQ's results were published."""

ROUNDS = 500
WORST = 0.68
"""The accuracy at which the hypervolume begins: about what random networks have."""


def published_costs(root: Path | None) -> NetworkCosts:
    """BitFusion's, of the published space."""
    if root is None:
        raise SystemExit(
            "give --data-root or set BEQUEST_DATA: the table is bitfusion/*.json there"
        )
    return NetworkCosts(PUBLISHED, CostTable.load(root / "bitfusion" / "latency_energy.json"))


class StandIn:
    """A fixed accuracy of the published space's networks.

    Blocks gain by the root of their channels and by their kernel, lose by their bits (most from 6
    to 4), and change each other's worth; the sum saturates.

    Args:
        seed: Draws the sensitivities.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        blocks = len(PUBLISHED.all_blocks)
        self.least = np.array([block.channels[0] for block in PUBLISHED.all_blocks])
        self.channels = rng.gamma(2, 0.5, blocks)
        self.kernel = rng.gamma(2, 0.2, blocks)
        self.bits = rng.gamma(1, 0.5, (blocks, len(ROLES)))
        self.mixing = rng.normal(0, 0.15, (blocks, blocks))

    def __call__(self, networks: Networks) -> np.ndarray:
        there = networks.there
        worth = self.channels * np.sqrt((self.least + 8 * networks.channels) / self.least)
        worth += self.kernel * np.sqrt(networks.kernel) + 0.5
        worth -= (self.bits * np.array([1, 0.25, 0])[networks.bits]).sum(2)
        worth = np.where(there, worth, 0)
        worth += 0.3 * np.tanh(worth @ self.mixing) * there
        return np.asarray(0.77 - 0.1 * np.exp(-worth.sum(1) / 20))


# Table --------------------------------------------------------------------------------------------


def table(args: argparse.Namespace, result: Result) -> None:
    """Published totals; what a bit does to a prediction; how many children are feasible."""
    costs = published_costs(args.data_root)
    networks = Networks.default(PUBLISHED, len(BITS))
    networks.kernel[:] = 1
    networks.channels[:] = [len(block.channels) - 1 for block in PUBLISHED.all_blocks]
    networks.bits[:] = np.arange(len(BITS))[:, None, None]
    values = costs(networks)
    for bits, row in zip(BITS, values, strict=True):
        named = dict(zip(costs.names, row.tolist(), strict=True))
        error = abs(named["latency"] - TOTALS[bits])
        result.rows.append({"what": "latency", "bits": bits, **named, "error": error})
    worst = max(row["error"] for row in result.rows)
    result.claim("table totals: largest error in ms", worst, 0.005, "lower")
    _bits_count(result)
    shares = []
    for times in (MARGIN, 1.25, 1.5, 2.0, 3.0, 4.0):
        limit = times * costs.smallest("latency")
        settings = Evolving(rounds=20, rungs=1)  # one rung: the limit that is asked for, alone
        evolution = Evolution(costs, StandIn(0), [Limit("latency", limit, "ms")], settings)
        evolution.run()
        shares.append(evolution.repaired[1] / evolution.repaired[0])
        row = {"what": "feasible", "limit_ms": limit, "times_smallest": times}
        result.rows.append({**row, "children": evolution.repaired[0], "share": shares[-1]})
    result.claim("feasible children after repair, worst limit", min(shares), 0.99, "higher")


def _bits_count(result: Result) -> None:
    """Change each bit of a network alone: does the prediction change?"""
    rng, accuracy = np.random.default_rng(0), StandIn(0)
    samples = [Networks.sample(PUBLISHED, n, rng) for n in (200, 100)]
    predictor = Predictor(PUBLISHED, Fitting(members=1, steps=100))
    predictor.fit(Samples(samples[0], accuracy(samples[0])))
    predictor.transfer(Samples(samples[1], accuracy(samples[1])))
    base = Networks.default(PUBLISHED, 1)
    changed = []
    for block, role in np.ndindex(*base.bits.shape[1:]):
        other = joined([base])
        other.bits[0, block, role] = 1 if role == INPUTS else 0
        changed.append(other)
    said = predictor.predict(joined([base, *changed]))[0]
    share = float((said[1:] != said[0]).mean())
    result.rows.append(
        {"what": "bit-changes-prediction", "bits_tried": len(changed), "share": share}
    )
    result.claim("bits that change the predicted accuracy", share, 1.0, "higher")


# Search -------------------------------------------------------------------------------------------


def search(args: argparse.Namespace, result: Result) -> None:
    """One run for all limits against one published run for each, of as many rounds in all.

    No network is scored twice in the one run, so it asks fewer times. Its archive also holds the
    front between the limits, which the published runs do not aim at: the winners are compared, too.
    """
    costs = published_costs(args.data_root)
    methods: dict[str, Callable[[NetworkCosts, int], tuple[np.ndarray, int, float]]] = {
        "apq": _ours,
        "published": lambda c, seed: _theirs(c, seed, ROUNDS // len(LIMITS)),
        "published-thrice": lambda c, seed: _theirs(c, seed, ROUNDS),
    }
    volumes: dict[str, list[float]] = {method: [] for method in methods}
    spent: dict[str, list[float]] = {method: [] for method in methods}
    timed: dict[str, float] = {}
    winners: dict[str, np.ndarray] = {}
    per_call = _predictor_seconds()
    for method, run in methods.items():
        best: list[list[float]] = []
        asked: list[int] = []
        for seed in range(args.seeds):
            losses, calls, seconds = run(costs, seed)
            asked.append(calls)
            volumes[method].append(hypervolume(losses, np.array([-WORST, max(LIMITS)])))
            spent[method].append(seconds)
            best.append([-losses[losses[:, 1] <= limit][:, 0].min() for limit in LIMITS])
        calls = float(np.mean(asked))
        row = {"what": "front", "method": method, "seeds": args.seeds, "calls": calls}
        row |= Summary.of(volumes[method]).row() | {"cpu_s": float(np.mean(spent[method]))}
        row["cpu_s_with_predictor"] = row["cpu_s"] + calls * per_call
        timed[method] = row["cpu_s_with_predictor"]
        result.rows.append(row)
        winners[method] = np.array(best)
        for limit, column in zip(LIMITS, zip(*best, strict=True), strict=True):
            row = {"what": "winner", "method": method, "limit_ms": limit, "seeds": args.seeds}
            result.rows.append(row | Summary.of(column).row())
    ratio = np.array(volumes["apq"]) / np.array(volumes["published"])
    result.claim("hypervolume to the published evolution's, worst seed", ratio.min(), 1.0, "higher")
    ratio = np.array(volumes["apq"]) / np.array(volumes["published-thrice"])
    result.claim("the same, which had three times the calls", ratio.min(), 1.0, "higher")
    for k, limit in enumerate(LIMITS):
        ahead = winners["apq"][:, k] - winners["published"][:, k]
        claim = f"accuracy over the published evolution's at {limit} ms, worst seed"
        result.claim(claim, float(ahead.min()), 0.0, "higher")
    own, others = ([_staircase(row) for row in winners[method]] for method in ("apq", "published"))
    ratio = np.array(own) / np.array(others)
    claim = "hypervolume of the three winners alone, worst seed"
    result.claim(claim, ratio.min(), 1.0, "higher")
    seconds = timed["apq"] / timed["published"]
    result.claim(
        "CPU seconds with a predictor, to the published evolution's", seconds, 1.0, "lower"
    )


def _staircase(accuracies: np.ndarray) -> float:
    """The hypervolume of one network a limit, as if each cost its limit."""
    losses = np.column_stack([-accuracies, LIMITS])
    return hypervolume(losses, np.array([-WORST, max(LIMITS)]))


def _predictor_seconds() -> float:
    """CPU seconds that an ensemble of the default size takes for one network among a hundred.

    The stand-in costs nothing; with this the methods' calls are charged what they would cost.
    """
    networks = Networks.sample(PUBLISHED, 100, np.random.default_rng(0))
    measured = Samples(networks, StandIn(0)(networks))
    predictor = Predictor(PUBLISHED, Fitting(steps=1)).fit(measured).transfer(measured[:60])
    predictor.predict(networks)
    began = time.process_time()
    for _ in range(20):
        predictor.predict(networks)
    return (time.process_time() - began) / 2_000


def _ours(costs: NetworkCosts, seed: int) -> tuple[np.ndarray, int, float]:
    began = time.process_time()
    limits = [Limit("latency", limit, "ms") for limit in LIMITS]
    evolution = Evolution(costs, StandIn(seed), limits, Evolving(rounds=ROUNDS), seed=seed)
    losses = evolution.run().losses[:, :2]
    return losses, evolution.calls, time.process_time() - began


def _theirs(costs: NetworkCosts, seed: int, rounds: int) -> tuple[np.ndarray, int, float]:
    began = time.process_time()
    seen: list[np.ndarray] = []
    calls = 0
    for limit in LIMITS:
        evolution = PublishedEvolution(costs, StandIn(seed), limit, seed=seed)

        def note(networks: Networks, scores: np.ndarray) -> None:
            seen.append(np.column_stack([-scores, costs.total(networks, "latency")]))

        evolution.run(rounds, note)
        calls += evolution.calls
    seconds = time.process_time() - began
    return np.concatenate(seen), calls, seconds


def main() -> None:
    """Run one part, print and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", default="fashion-mnist", help="predictor, joint: by commas")
    parser.add_argument("--data-root", type=Path, default=os.environ.get("BEQUEST_DATA"))
    parser.add_argument("--out")
    args = parser.parse_args()
    args.data_root = args.data_root and Path(args.data_root)
    result = Result("joint_search")
    if args.part in ("table", "search"):
        {"table": table, "search": search}[args.part](args, result)
    else:
        module = importlib.import_module("benchmarks.joint_networks")
        getattr(module, args.part)(args, result)
    result.write(args.out)


if __name__ == "__main__":
    main()
