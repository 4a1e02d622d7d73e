"""Parts of `joint_search` that train networks of the small space: ``predictor`` and ``joint``.

Once-for-all networks and all measurements are kept in the Bequest home: what was stopped goes on,
and what ``predictor`` has measured in float32, ``joint`` does not measure again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from benchmarks.harness import Result, Summary
from benchmarks.sequential_search import OneAfterAnother
from bequest.common.home import home
from bequest.evaluators.datasets import load_task
from bequest.evaluators.limits import Limit
from bequest.evaluators.once_for_all.budget import ElasticBudget
from bequest.evaluators.once_for_all.evaluator import ElasticEvaluator
from bequest.search.two_stage.once_for_all.collection import random_network
from bequest.search.two_stage.once_for_all.evolution import Evolution
from bequest.search.two_stage.once_for_all.predictor import Fitting, Predictor, pairwise_accuracy
from bequest.search.two_stage.once_for_all.search import CompressionSearch
from bequest.search.two_stage.once_for_all.settings import OnceForAllSettings
from bequest.spaces.elastic_genes import Networks

SIZES = (50, 100, 200, 400)
TESTED = 100
"""Fine-tuned networks on which predictors are judged."""

FLOATS = 1_000
LATENCIES = (0.16, 0.22, 0.30)
"""Limits in ms, as BitFusion's model has them; the small space spans .07 to .82."""

TRIED = 3
"""So many of each search's best are fine-tuned shortly, the best of them then at length."""

FRONT = 20
FITTING = Fitting(members=3, steps=400)


def _evaluator(name: str, args: argparse.Namespace) -> ElasticEvaluator:
    return ElasticEvaluator(load_task(name, args.data_root), budget=ElasticBudget())


# Predictor ----------------------------------------------------------------------------------------


def predictor(args: argparse.Namespace, result: Result) -> None:
    """Pairwise accuracy of the quantised predictor, with floats before and without.

    Networks are measured once, on one once-for-all network; each seed splits them anew.
    """
    for name in args.tasks.split(","):
        evaluator = _evaluator(name, args)
        search = CompressionSearch(evaluator, OnceForAllSettings(floats=FLOATS), seed=0)
        evaluator.once_for_all(0)
        geometry = evaluator.geometry
        floats = search.floats.grow(FLOATS, random_network(geometry, 0))
        wanted = max(SIZES) + TESTED
        quantised = search.drawn.grow(wanted, random_network(geometry, 1))
        found: dict[tuple[str, int], list[float]] = {}
        for seed in range(args.seeds):
            order = np.random.default_rng(seed).permutation(wanted)
            test, pool = quantised[order[:TESTED]], order[TESTED:]
            taught = Predictor(geometry, FITTING, seed=seed).fit(floats)
            known = taught.knowledge
            for n in SIZES:
                few = quantised[pool[:n]]
                for method, model in (
                    ("transfer", taught.restore(known)),
                    ("scratch", Predictor(geometry, FITTING, seed=seed)),
                ):
                    said = model.transfer(few).predict(test.networks)[0]
                    score = pairwise_accuracy(said.tolist(), test.accuracies.tolist())
                    found.setdefault((method, n), []).append(score)
        for (method, n), scores in found.items():
            row = {"what": "pairwise", "task": name, "n": n, "method": method, "seeds": args.seeds}
            result.rows.append(row | Summary.of(scores).row())
        for n in SIZES[:2]:
            scratch = float(np.mean(found["scratch", 4 * n]))
            value = float(np.mean(found["transfer", n]))
            claim = f"{name}: transfer at {n} samples, to scratch at {4 * n}"
            result.claim(claim, value, scratch, "higher")


# Joint against one after another ------------------------------------------------------------------


def joint(args: argparse.Namespace, result: Result) -> None:
    """Test accuracy after fine-tuning at three limits, the tau of the front, the int8 network."""
    for name in args.tasks.split(","):
        seeds = [_one_seed(name, seed, args) for seed in range(args.seeds)]
        evaluator = _evaluator(name, args)
        for what in seeds[0]["test"]:
            method, _, limit = what.partition(" ")
            row: dict[str, Any] = {"what": "test", "task": name, "method": method}
            row |= {"limit_ms": float(limit)} if limit else _largest_costs(evaluator)
            scores = [seed["test"][what] for seed in seeds]
            result.rows.append(row | {"seeds": args.seeds} | Summary.of(scores).row())
        for ms in LATENCIES:
            margins = [
                seed["test"][f"joint {ms}"] - seed["test"][f"sequential {ms}"] for seed in seeds
            ]
            row = {"what": "joint minus sequential", "task": name, "limit_ms": ms}
            result.rows.append(row | {"seeds": args.seeds} | Summary.of(margins).row())
            ahead = float(np.mean(margins))
            result.claim(f"{name}: joint ahead at {ms} ms", ahead, 1e-6, "higher")
        taus = [seed["tau"] for seed in seeds]
        row = {"what": "tau", "task": name, "seeds": args.seeds}
        result.rows.append(row | Summary.of(taus).row())
        result.claim(f"{name}: tau of {FRONT} networks", float(np.mean(taus)), 0.8, "higher")


def _one_seed(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """All of one seed's figures; kept in the Bequest home."""
    evaluator = _evaluator(name, args)
    limits = tuple(Limit("latency", ms, "ms") for ms in LATENCIES)
    settings = OnceForAllSettings(limits=limits)
    facts = [asdict(settings), asdict(evaluator.budget), TRIED, FRONT]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
    path = home() / "joint_benchmark" / f"{name}-{seed}-{digest}.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept
    search = CompressionSearch(evaluator, settings, seed=seed)
    evaluator.once_for_all(seed)
    search.learn_floats()
    floats = search.predictor.knowledge
    search.learn_bits()
    together = search.evolution(settings.evolving.rounds)
    together.run()
    found: dict[str, Any] = {"tau": _tau(search, together, seed), "test": {}}
    for ms in LATENCIES:
        best = together.best({"latency": ms}, TRIED)
        found["test"][f"joint {ms}"] = _final(evaluator, best, seed)
    rival = OneAfterAnother(search, floats, LATENCIES, TRIED)
    for ms in LATENCIES:
        found["test"][f"sequential {ms}"] = _final(evaluator, rival.best(ms), seed)
    found["test"]["int8-largest"] = _final(evaluator, Networks.largest(evaluator.geometry), seed)
    found["calls"] = {"joint": together.calls, "sequential": rival.calls}
    found["restarts"] = rival.restarts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").write_text(json.dumps(found))
    path.with_suffix(".part").replace(path)
    print(name, seed, found, flush=True)
    return found


def _tau(search: CompressionSearch, evolution: Evolution, seed: int) -> float:
    """Of predicted and measured accuracies of networks from all along the front."""
    networks = evolution.archive.networks
    assert networks is not None
    order = np.argsort(evolution.archive.losses[:, 0])
    chosen = networks[order[np.linspace(0, len(order) - 1, FRONT).round().astype(int)]]
    said = search.predictor.predict(chosen)[0]
    measured = [search.evaluator.tuned_accuracy(chosen, i, seed) for i in range(len(chosen))]
    return float(kendalltau(said, measured).statistic)


def _final(evaluator: ElasticEvaluator, networks: Networks, seed: int) -> float:
    """Test accuracy of the best of some by short fine-tuning, after a long one."""
    if len(networks) > 1:
        short = [evaluator.tuned_accuracy(networks, i, seed) for i in range(len(networks))]
        networks = networks[[int(np.argmax(short))]]
    return evaluator.fit(networks.configs()[0], seed=seed).metrics["test_accuracy"]


def _largest_costs(evaluator: ElasticEvaluator) -> dict[str, float]:
    costs = evaluator.costs(Networks.largest(evaluator.geometry))[0].tolist()
    return dict(zip(evaluator.costs.names, costs, strict=True))
