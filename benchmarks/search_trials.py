"""How many distinct designs until a good one: our samplers and Optuna's on a result table.

``python -m benchmarks.search_trials --table nas_bench_graph.parquet --seeds 20 --out FILE.json``

Every method searches the same 59,049 points (links and four operations); points that build the same
network count once. A run that does not reach a level within the budget counts as budget + 1.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna

from bequest.common.errors import BequestError
from bequest.evaluators.table import TableEvaluator
from bequest.search.samplers import SAMPLERS, make_sampler

from .harness import Result, Summary

DATASETS = ("arxiv", "citeseer", "computers", "cora", "cs", "photo")
METHODS = ("random", "tpe", "optuna-gp", "evolution", "gp")
LEVELS = {"best": 0.0, "top1pct": 0.01, "top5pct": 0.05}
ASKS = 10
"""A method that repeats itself is stopped after so many times the budget."""


@dataclass(frozen=True)
class Run:
    """One search: how many distinct designs to each level, and seconds of suggestion."""

    dataset: str
    method: str
    seed: int
    reached: dict[str, int]
    cpu_ms: float


def search(table: str, dataset: str, method: str, seed: int, budget: int) -> Run:
    """Search one dataset with one method until the budget of distinct designs is spent."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    evaluator = TableEvaluator.nas_bench_graph(table, dataset)
    levels = thresholds(evaluator)
    study = optuna.create_study(sampler=_sampler(method, evaluator, seed), direction="maximize")
    known: set[Any] = set()
    reached: dict[str, int] = {}
    spent: list[float] = []
    for _ in range(ASKS * budget):
        if len(known) >= budget or len(reached) == len(levels):
            break
        began = time.process_time()
        trial = study.ask()
        config = evaluator.space.suggest(trial)
        spent.append(time.process_time() - began)
        try:
            value = evaluator(config).value
        except BequestError:  # the nine points that only skip
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, value)
        known.add(evaluator.key(config))
        for level, bar in levels.items():
            if value >= bar:
                reached.setdefault(level, len(known))
    counts = {level: reached.get(level, budget + 1) for level in levels}
    return Run(dataset, method, seed, counts, 1000 * float(np.mean(spent[-10:])))


def thresholds(evaluator: TableEvaluator) -> dict[str, float]:
    """The validation metric that each level asks for, ties included."""
    values = np.sort([o.value for o in evaluator.table.values()])[::-1]
    place = {name: max(int(np.ceil(share * len(values))) - 1, 0) for name, share in LEVELS.items()}
    return {name: float(values[i]) for name, i in place.items()}


def _sampler(method: str, evaluator: TableEvaluator, seed: int) -> optuna.samplers.BaseSampler:
    if method == "optuna-gp":
        return optuna.samplers.GPSampler(seed=seed)
    assert method in SAMPLERS
    return make_sampler(method, evaluator.space, seed)


def summarise(runs: list[Run], result: Result, budget: int) -> None:
    """Rows by task and over all tasks, and the claims."""
    means: dict[tuple[str, str], float] = {}
    for method in dict.fromkeys(r.method for r in runs):
        for task in (*dict.fromkeys(r.dataset for r in runs), "all"):
            mine = [r for r in runs if r.method == method and task in (r.dataset, "all")]
            groups = [DATASETS.index(r.dataset) for r in mine] if task == "all" else None
            for level in LEVELS:
                counts = [r.reached[level] for r in mine]
                summary = Summary.of(counts, groups)
                means[method, level] = summary.mean
                reached = float(np.mean([c <= budget for c in counts]))
                row = {"task": task, "method": method, "level": level}
                row |= {"seeds": len({r.seed for r in mine}), **summary.row()}
                result.rows.append({**row, "share_reached": round(reached, 3)})
        cpu = float(np.mean([r.cpu_ms for r in runs if r.method == method]))
        result.rows.append({"what": "suggest", "method": method, "cpu_ms": round(cpu, 2)})
        means[method, "cpu_ms"] = cpu
    if ("gp", "top1pct") in means:
        result.claim("gp: mean designs to the top 1 %", means["gp", "top1pct"], 24, "lower")
    if ("gp", "top1pct") in means and ("optuna-gp", "top1pct") in means:
        rival = means["optuna-gp", "top1pct"]
        result.claim("gp: no more designs than GPSampler", means["gp", "top1pct"], rival, "lower")


def cpu_at(table: str, methods: list[str], trials: int, result: Result) -> None:
    """CPU time of one suggestion when a study has so many trials, side by side."""
    evaluator = TableEvaluator.nas_bench_graph(table, "cora")
    configs = [evaluator.space.sample(np.random.default_rng(i)) for i in range(trials)]
    cpu: dict[str, float] = {}
    for method in methods:
        study = optuna.create_study(sampler=_sampler(method, evaluator, 0), direction="maximize")
        for config in configs:
            distributions = evaluator.space.distributions(config)
            value = evaluator(config).value
            study.add_trial(
                optuna.trial.create_trial(params=config, distributions=distributions, value=value)
            )
        spent = []
        for _ in range(6):  # the first one warms up and is left out
            began = time.process_time()
            trial = study.ask()
            config = evaluator.space.suggest(trial)
            spent.append(1000 * (time.process_time() - began))
            study.tell(trial, evaluator(config).value)
        cpu[method] = float(np.median(spent[1:]))
        row = {"what": "suggest", "method": method, "n": trials, "cpu_ms": round(cpu[method], 2)}
        result.rows.append(row)
    if "gp" in cpu and "optuna-gp" in cpu:
        name = f"gp: CPU ms a suggestion at {trials} trials, GPSampler's as the bar"
        result.claim(name, cpu["gp"], cpu["optuna-gp"], "lower")


def main() -> None:
    """Run all searches, then print and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--table", required=True, help="nas_bench_graph.parquet")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=60, help="distinct designs a run may try")
    parser.add_argument("--tasks", default=",".join(DATASETS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    result = Result("search_trials")
    methods = args.methods.split(",")
    cpu_at(args.table, methods, args.budget, result)
    jobs = [
        (args.table, dataset, method, seed, args.budget)
        for method in methods
        for dataset in args.tasks.split(",")
        for seed in range(args.seeds)
    ]
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(search, *zip(*jobs, strict=True), chunksize=args.seeds))
    summarise(runs, result, args.budget)
    result.write(args.out)


if __name__ == "__main__":
    main()
