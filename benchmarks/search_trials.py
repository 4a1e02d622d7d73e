"""How many networks a search trains until it has a good one, on NAS-Bench-Graph's table.

``python -m benchmarks.search_trials --table nas_bench_graph.parquet --out FILE.json``

Counted are distinct networks, whatever configurations name them: a repeated one costs nothing, is
told its known value, and the questions asked of a sampler are capped. A run that never reaches a
level counts as budget + 1. Optuna's samplers search the 59,049 points; a point that builds no
network fails. Random search draws from the distinct networks.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

# One thread for each process, set before NumPy and torch load.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna

from bequest.errors import BequestError
from bequest.evaluators.table import TableEvaluator
from bequest.search.samplers import make_sampler
from bequest.spaces import Space

from .harness import Benchmark, interval, show

TASKS = ("arxiv", "citeseer", "computers", "cora", "cs", "photo")
METHODS = ("random", "tpe", "optuna-gp", "evolution", "gp")
LEVELS = {"best": 0.0, "top1pct": 0.01, "top5pct": 0.05}
ASKS = 4
"""A run ends after so many questions for each network in the budget, whatever they found."""
CHECKPOINTS = (10, 30, 60)


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        counts: Distinct networks until each level was reached; budget + 1 if it was not.
        regret: Normalised regret of the best so far after each checkpoint.
        test: Its test metric.
        suggest_ms: CPU time of the last suggestions (ten at most), a suggestion.
    """

    task: str
    method: str
    seed: int
    counts: dict[str, int]
    regret: dict[str, float]
    test: dict[str, float]
    suggest_ms: float


def sampler_of(method: str, space: Space | None, seed: int) -> optuna.samplers.BaseSampler:
    """Ours by its name, or Optuna's GPSampler."""
    if method == "optuna-gp":
        return optuna.samplers.GPSampler(seed=seed)
    return make_sampler(method, space, seed)  # type: ignore[arg-type]


@cache
def evaluator_of(path: str, task: str) -> TableEvaluator:
    return TableEvaluator.nas_bench_graph(path, task)


def search(path: str, task: str, method: str, seed: int, budget: int) -> Run:
    """Run one search until the budget is spent or the best network is found."""
    evaluator = evaluator_of(path, task)
    values = np.sort([outcome.value for outcome in evaluator.table.values()])[::-1]
    best, times = float(values[0]), []
    study = optuna.create_study(
        direction="maximize", sampler=sampler_of(method, evaluator.space, seed)
    )
    found: dict[object, tuple[float, float]] = {}
    for _ in range(ASKS * budget):
        start = time.process_time()
        trial = study.ask()
        config = evaluator.space.suggest(trial)
        times.append(time.process_time() - start)
        try:
            outcome = evaluator(config, seed=0)
        except BequestError:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, outcome.value)
        test = outcome.metrics[f"test_{evaluator.task.metric}"]
        found.setdefault(evaluator.key(config), (outcome.value, test))
        if len(found) == budget or outcome.value >= best:
            break
    return _summary(task, method, seed, budget, list(found.values()), values, times)


def _summary(
    task: str,
    method: str,
    seed: int,
    budget: int,
    found: list[tuple[float, float]],
    values: np.ndarray,
    times: list[float],
) -> Run:
    seen = np.array([value for value, _ in found])
    counts, regret, test = {}, {}, {}
    for level, share in LEVELS.items():
        bar = values[max(int(np.ceil(share * len(values))), 1) - 1]
        reached = np.flatnonzero(seen >= bar)
        counts[level] = int(reached[0]) + 1 if len(reached) else budget + 1
    for k in CHECKPOINTS:
        if k <= budget:
            incumbent = int(seen[:k].argmax())
            gap = (values[0] - seen[incumbent]) / (values[0] - np.median(values))
            regret[str(k)], test[str(k)] = float(gap), found[incumbent][1]
    return Run(task, method, seed, counts, regret, test, 1e3 * float(np.mean(times[-10:])))


# Running ------------------------------------------------------------------------------------------


def runs(options: argparse.Namespace) -> list[Run]:
    """All runs; those of an earlier, broken-off command are read from beside ``--out``."""
    notes = None if options.out is None else options.out.with_suffix(".runs.jsonl")
    done = _read(notes) if notes is not None and options.resume else []
    have = {(run.task, run.method, run.seed) for run in done}
    jobs = [job for job in _jobs(options) if job not in have]
    if notes is not None and not options.resume:
        notes.unlink(missing_ok=True)
    with ProcessPoolExecutor(options.workers) as pool:
        waiting = [pool.submit(search, str(options.table), *j, options.budget) for j in jobs]
        for future in waiting:
            run = future.result()
            done.append(run)
            print(run.task, run.method, run.seed, run.counts, flush=True)
            if notes is not None:
                notes.parent.mkdir(parents=True, exist_ok=True)
                with notes.open("a") as file:
                    file.write(json.dumps(asdict(run)) + "\n")
    wanted = set(_jobs(options))
    return [run for run in done if (run.task, run.method, run.seed) in wanted]


def _jobs(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    for seed in range(options.seeds):
        for task in options.tasks:
            for method in options.methods:
                yield task, method, seed


def _read(path: Path) -> list[Run]:
    if not path.exists():
        return []
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()]


# Reporting ----------------------------------------------------------------------------------------


def report(benchmark: Benchmark, done: list[Run], options: argparse.Namespace) -> None:
    """Rows by level, by checkpoint, and of the suggestions' cost; then the claims."""
    for method in options.methods:
        for tasks in [*((task,) for task in options.tasks), tuple(options.tasks)]:
            groups = [[r for r in done if (r.method, r.task) == (method, task)] for task in tasks]
            name = tasks[0] if len(tasks) == 1 else "all"
            _levels(benchmark, name, method, groups, options.budget)
            _checkpoints(benchmark, name, method, groups)
        mine = [run.suggest_ms for run in done if run.method == method]
        benchmark.add(
            what="suggest", method=method, n=options.budget, cpu_ms=round(float(np.mean(mine)), 2)
        )


def _levels(
    benchmark: Benchmark, task: str, method: str, groups: list[list[Run]], budget: int
) -> None:
    for level in LEVELS:
        counts = [[float(run.counts[level]) for run in group] for group in groups]
        mean, low, high = interval(counts)
        everything = np.concatenate(counts)
        benchmark.add(
            task=task,
            method=method,
            level=level,
            mean=round(mean, 2),
            low=round(low, 2),
            high=round(high, 2),
            median=float(np.median(everything)),
            share_reached=round(float(np.mean(everything <= budget)), 3),
            seeds=len(groups[0]),
        )


def _checkpoints(benchmark: Benchmark, task: str, method: str, groups: list[list[Run]]) -> None:
    for k in groups[0][0].regret:
        benchmark.add(
            task=task,
            method=method,
            k=int(k),
            regret=round(interval([[r.regret[k] for r in group] for group in groups])[0], 4),
            test=round(interval([[r.test[k] for r in group] for group in groups])[0], 4),
            seeds=len(groups[0]),
        )


def suggestion_seconds(method: str, *, trials: int = 200, dimensions: int = 10) -> float:
    """CPU seconds of one suggestion after so many trials of a smooth function; median of three."""
    rng = np.random.default_rng(0)
    unit = optuna.distributions.FloatDistribution(0, 1)
    names = [f"x{i}" for i in range(dimensions)]
    seconds = []
    for seed in range(3):
        study = optuna.create_study(sampler=sampler_of(method, None, seed))
        for point in rng.random((trials, dimensions)):
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(zip(names, point.tolist(), strict=True)),
                    distributions=dict.fromkeys(names, unit),
                    value=float(np.square(point - 0.4).sum() + 0.1 * np.sin(9 * point).sum()),
                )
            )
        start = time.process_time()
        trial = study.ask()
        for name in names:
            trial.suggest_float(name, 0, 1)
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


def claims(benchmark: Benchmark, options: argparse.Namespace) -> None:
    """What is promised of ``gp``, beside Optuna's GPSampler in the same run."""

    def mean(method: str) -> float:
        wanted = {"task": "all", "method": method, "level": "top1pct"}
        return next(r["mean"] for r in benchmark.rows if wanted.items() <= r.items())

    def cost(method: str, n: int) -> float:
        wanted = {"what": "suggest", "method": method, "n": n}
        return next(r["cpu_ms"] for r in benchmark.rows if wanted.items() <= r.items())

    if {"gp", "optuna-gp"} <= set(options.methods):
        benchmark.claim("trials to top 1 %, mean", mean("gp"), 24.0, better="lower")
        benchmark.claim(
            "trials to top 1 %, beside optuna-gp", mean("gp"), mean("optuna-gp"), better="lower"
        )
        benchmark.claim(
            f"CPU ms a suggestion at {options.budget} trials, beside optuna-gp",
            cost("gp", options.budget),
            cost("optuna-gp", options.budget),
            better="lower",
        )
        benchmark.claim(
            "CPU ms a suggestion at 200 trials, 10 dimensions", cost("gp", 200), 500, better="lower"
        )


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help="nas_bench_graph.parquet")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--tasks", type=lambda text: tuple(text.split(",")), default=TASKS)
    parser.add_argument("--methods", type=lambda text: tuple(text.split(",")), default=METHODS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on with a broken-off command")
    parser.add_argument("--out", type=Path, help="where the result is written (JSON)")
    options = parser.parse_args()
    benchmark = Benchmark("search_trials")
    report(benchmark, runs(options), options)
    for method in options.methods:
        if method in ("gp", "optuna-gp"):
            milliseconds = round(1e3 * suggestion_seconds(method), 1)
            benchmark.add(what="suggest", method=method, n=200, cpu_ms=milliseconds)
    claims(benchmark, options)
    levels = [row for row in benchmark.rows if row.get("level") == "top1pct"]
    show("distinct networks until one of the top 1 %", levels)
    show("suggestions", [row for row in benchmark.rows if row.get("what") == "suggest"])
    benchmark.write(options.out)
    if options.out is not None:
        options.out.with_suffix(".runs.jsonl").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
