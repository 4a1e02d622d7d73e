"""Which tasks to train on: V against the number of sources, all methods in the same run.

``python -m benchmarks.task_selection --suite 3d --noise 5 --seeds 20 --out FILE.json``

Suites: ``1d``, ``3d``, ``5d``, ``7d`` (published generator, `contextual_mdps`), ``cartpole``,
``pendulum``, ``digits`` (real transfer matrices, trained once and kept in ``--work``), ``scale``
(seconds and memory of a step). ``aggregated`` is ``(V - V of random) / (V of the oracle - V of
random)`` at the same k, a mean over configurations and seeds; the synthetic oracle is the published
one, a single sequence for all seeds of a configuration, so that 1 can be exceeded.

Methods that use a budget are run anew for each k and told it: ``equidistant``, and in one dimension
``bequest``, which is what ``TaskSelection.run(budget=k)`` asks for. ``bequest-anytime`` is the same
selector without a budget, one run for all k; in more dimensions the two are one.

Training gets easier towards the same end in all published processes, which a method may prefer by
chance: ``--mirrored`` counts every dimension from its other end.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bequest.search.task_selection import SELECTORS, Selector, make_selector
from bequest.search.task_selection.baselines import EquidistantSelector, OracleSelector

from .contextual_mdps import Configuration, configurations
from .harness import Result, Summary

KS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50)
ANYTIME = "bequest-anytime"
DIMENSIONS = {"1d": 1, "3d": 3, "5d": 5, "7d": 7}
BUDGET = {"1d": 30, "digits": 30, "cartpole": 50, "pendulum": 50}
REAL = {
    "cartpole": ("cartpole-mass", "cartpole-length", "cartpole-pole-mass"),
    "pendulum": ("pendulum-step", "pendulum-length"),
    "digits": ("rotated-digits",),
}
LARGE = 5_000
"""With more contexts, methods whose every step looks at all pairs run on one seed."""

PUBLISHED = {
    "0, lin, non-distance": (0.7212, 0.6976, 0.7168),
    "0, lin, L1": (0.6961, 0.7038, 0.7038),
    "0, 0, non-distance": (0.8369, 0.7936, 0.8334),
    "0, 0, L1": (0.7747, 0.7762, 0.7762),
    "lin, lin, non-distance": (0.6088, 0.5782, 0.6086),
    "lin, lin, L1": (0.6218, 0.5900, 0.6216),
    "lin, 0, non-distance": (0.7083, 0.6683, 0.7073),
    "lin, 0, L1": (0.7744, 0.7422, 0.7751),
}
"""V at K = 50, 3-D, noise 5: GP-MBTL, M-MBTL, M/GP-MBTL (arXiv 2601.08120)."""
PUBLISHED_METHODS = ("gp-mbtl", "m-mbtl", "m/gp-mbtl")
BARS = {
    ("3d", 0.0): {50: 0.99},
    ("3d", 5.0): {5: 0.80, 10: 0.93, 50: 0.98},
    ("3d", 30.0): {50: 0.90},
    ("5d", 5.0): {50: 0.88},
    ("7d", 5.0): {50: 0.90},
}


@dataclass(frozen=True)
class Run:
    """One method on one matrix."""

    task: str
    method: str
    seed: int
    values: tuple[float, ...]
    step_ms: float


def follow(selector: Selector, matrix: np.ndarray, budget: int) -> tuple[list[float], float]:
    """V after each source, and the mean wall time of a step."""
    values, spent = [], 0.0
    for _ in range(min(budget, len(matrix))):
        began = time.perf_counter()
        index = selector.ask()
        spent += time.perf_counter() - began
        selector.tell(index, matrix[index])
        values.append(selector.value)
    return values, 1e3 * spent / len(values)


def methods_of(dimensions: int) -> list[str]:
    """Those that work in so many dimensions."""
    if dimensions > 1:
        return [m for m in SELECTORS if m != "greedy"] + ["equidistant"]
    return [*SELECTORS, ANYTIME, "equidistant"]


def told(method: str, contexts: np.ndarray, matrix: np.ndarray, seed: int, budget: int) -> Run:
    """One method that uses a budget, anew for each k; NaN between those of `KS`."""
    values = np.full(budget, np.nan)
    steps = []
    for k in (k for k in KS if k <= budget):
        if method == "equidistant":
            selector: Selector = EquidistantSelector(contexts, budget=k, seed=seed)
        else:
            selector = make_selector(method, contexts, budget=k, seed=seed)
        curve, step = follow(selector, matrix, k)
        values[k - 1] = curve[-1]
        steps.append(step)
    return Run("", method, seed, tuple(values.tolist()), float(np.mean(steps)))


def runs_on(
    task: str,
    contexts: np.ndarray,
    matrix: np.ndarray,
    seed: int,
    budget: int,
    methods: Sequence[str],
) -> list[Run]:
    """Every method on one matrix."""
    found = []
    for method in methods:
        if method == "equidistant" or (method == "bequest" and contexts.shape[1] == 1):
            found.append(replace(told(method, contexts, matrix, seed, budget), task=task))
            continue
        if method == "oracle":
            selector: Selector = OracleSelector(contexts, matrix=matrix)
        else:
            name = "bequest" if method == ANYTIME else method
            selector = make_selector(name, contexts, seed=seed)
        values, step = follow(selector, matrix, budget)
        found.append(Run(task, method, seed, tuple(values), step))
    return found


# Synthetic processes ------------------------------------------------------------------------------


def synthetic(job: tuple[str, float, int, int, int, list[str], bool]) -> list[Run]:
    """All methods on one draw of one configuration."""
    suite, noise, number, seed, budget, methods, mirrored = job
    configuration = configurations(DIMENSIONS[suite], noise)[number]
    matrix = configuration.matrix(seed)
    if mirrored:  # the same tasks, each dimension counted from its other end
        matrix = matrix[::-1, ::-1]
    if configuration.size > LARGE and seed > 0:
        methods = [m for m in methods if m in ("bequest", "random")]
    return runs_on(configuration.name, configuration.contexts, matrix, seed, budget, methods)


def oracle(job: tuple[str, float, int, int]) -> tuple[str, np.ndarray, np.ndarray]:
    """The oracle's V, and the mean of random's over all seeds of the configuration."""
    suite, noise, number, budget = job
    configuration = configurations(DIMENSIONS[suite], noise)[number]
    return configuration.name, configuration.oracle(budget), chance(configuration, budget)


def chance(configuration: Configuration, budget: int, draws: int = 5) -> np.ndarray:
    """V of random sources: the mean over all seeds of the configuration."""
    total = np.zeros(budget)
    rng = np.random.default_rng(12345)
    for seed in range(configuration.all_seeds):
        matrix = configuration.matrix(seed)
        for _ in range(draws):
            order = rng.permutation(configuration.size)[:budget]
            total += np.maximum.accumulate(matrix[order], axis=0).mean(1)
    return total / configuration.all_seeds / draws


def run_synthetic(args: argparse.Namespace, result: Result) -> None:
    """One of the published suites."""
    suite, noise = args.suite, args.noise
    budget = BUDGET.get(suite, 50)
    made = configurations(DIMENSIONS[suite], noise)
    seeds = min(args.seeds, made[0].all_seeds)
    methods = args.methods.split(",") if args.methods else methods_of(DIMENSIONS[suite])
    jobs = [
        (suite, noise, n, s, budget, methods, args.mirrored)
        for n in range(len(made))
        for s in range(seeds)
    ]
    workers = 1 if made[0].size > LARGE else args.workers
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        ends = list(pool.map(oracle, [(suite, noise, n, budget) for n in range(len(made))]))
        runs = [run for found in pool.map(synthetic, jobs) for run in found]
    bounds = {name: (best, low) for name, best, low in ends}
    means = summarise(runs, bounds, budget, result)
    ks = [k for k in KS if k <= budget]
    for k, bar in BARS.get((suite, noise), {}).items():
        name = f"bequest: aggregated at K = {k}, {suite}, noise {noise:g}"
        result.claim(name, means["bequest", "all", k, "aggregated"], bar, "higher")
    rivals = [m for m in methods if m not in ("bequest", ANYTIME)]
    if suite == "1d":
        for k in (5, 10, 15, 30):
            gaps = {
                (c.name, m): means["bequest", c.name, k, "mean"] - means[m, c.name, k, "mean"]
                for c in made
                for m in rivals
            }
            worst = min(gaps, key=lambda key: gaps[key])
            name = f"K = {k}: V above the best rival's, worst configuration ({', '.join(worst)})"
            result.claim(name, gaps[worst], 0.0, "higher")
    else:
        for k in ks[1:]:
            best = max(rivals, key=lambda m: means[m, "all", k, "aggregated"])
            name = f"bequest leads at K = {k} (best rival: {best})"
            own, other = (means[m, "all", k, "aggregated"] for m in ("bequest", best))
            result.claim(name, own, other, "higher")
    if (suite, noise) == ("3d", 5.0):
        for place, method in enumerate(PUBLISHED_METHODS):
            if method not in methods:
                continue
            gaps = {
                c.name: abs(means[method, c.name, 50, "mean"] - PUBLISHED[c.name][place])
                for c in made
            }
            name = f"{method}: distance from the published figure, worst configuration"
            result.claim(name, max(gaps.values()), 0.01, "lower")


def summarise(
    runs: list[Run],
    bounds: dict[str, tuple[np.ndarray, np.ndarray]],
    budget: int,
    result: Result,
) -> dict[tuple[str, str, int, str], float]:
    """Rows by method, task and k; the same as a lookup.

    Args:
        runs: All of them.
        bounds: By task: the oracle's V and random's mean ``[budget]``.
        budget: Sources.
        result: Takes the rows.
    """
    means: dict[tuple[str, str, int, str], float] = {}
    tasks = list(bounds)
    for method in dict.fromkeys(run.method for run in runs):
        mine = [run for run in runs if run.method == method]
        step = float(np.mean([run.step_ms for run in mine]))
        for k in (k for k in KS if k <= budget):
            values = {t: [r.values[k - 1] for r in mine if r.task == t] for t in tasks}
            scores = {
                t: [(v - bounds[t][1][k - 1]) / _span(bounds[t], k) for v in values[t]]
                for t in tasks
            }
            for task in tasks:
                summary = Summary.of(values[task])
                aggregated = float(np.mean(scores[task]))
                row = {"task": task, "method": method, "k": k, "seeds": len(values[task])}
                row |= {**summary.row(), "aggregated": round(aggregated, 4)}
                result.rows.append(row)
                means[method, task, k, "mean"] = summary.mean
                means[method, task, k, "aggregated"] = aggregated
            whole = Summary.of(
                [s for t in tasks for s in scores[t]],
                [i for i, t in enumerate(tasks) for _ in scores[t]],
            )
            row = {"task": "all", "method": method, "k": k, "seeds": len(values[tasks[0]])}
            row |= {**whole.row(), "aggregated": round(whole.mean, 4), "step_ms": round(step, 2)}
            result.rows.append(row)
            means[method, "all", k, "aggregated"] = whole.mean
    for task, (best, low) in bounds.items():
        for k in (k for k in KS if k <= budget):
            row = {"task": task, "method": "oracle", "k": k, "mean": round(float(best[k - 1]), 4)}
            result.rows.append({**row, "random": round(float(low[k - 1]), 4)})
    return means


def _span(bounds: tuple[np.ndarray, np.ndarray], k: int) -> float:
    return max(float(bounds[0][k - 1] - bounds[1][k - 1]), 1e-9)


# Real transfer matrices ---------------------------------------------------------------------------


def matrix_of(job: tuple[str, int, str]) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and transfer matrix of a family; trained where it is not kept yet."""
    name, seed, work = job
    path = Path(work) / f"{name}-s{seed}.npz"
    if path.exists():
        with np.load(path) as data:
            return data["contexts"], data["matrix"].astype(float)
    began = time.time()
    if name == "rotated-digits":
        from bequest.evaluators.task_families.rotated_digits import RotatedDigits

        digits = RotatedDigits(seed=seed)
        contexts = digits.contexts
        matrix = np.stack([digits.evaluate(digits.train(c), contexts) for c in contexts])
    else:
        from bequest.evaluators.task_families.control import ControlFamily

        family = ControlFamily(name, seed=seed)
        contexts = family.contexts
        matrix = family.matrix(seed, lambda done, of: _say(name, seed, done, of, began))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            contexts=contexts,
            matrix=matrix.astype(np.float32),
            seconds=time.time() - began,
        )
    os.replace(part, path)
    return contexts, matrix


def _say(name: str, seed: int, done: int, of: int, began: float) -> None:
    if done % 100 == 0:
        left = (time.time() - began) / done * (of - done)
        print(f"{name}, seed {seed}: {done}/{of} updates, {left / 60:.0f} min left", flush=True)


def run_real(args: argparse.Namespace, result: Result) -> None:
    """One of the real suites: a matrix a family and seed."""
    names, budget = REAL[args.suite], BUDGET[args.suite]
    jobs = [(name, seed, args.work) for name in names for seed in range(args.seeds)]
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(matrix_of, jobs))
    runs: list[Run] = []
    bounds: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    rng = np.random.default_rng(12345)
    methods = [m for m in methods_of(1) if m != "random"]
    reached: dict[str, list[int]] = {m: [] for m in ("bequest", ANYTIME, "oracle")}
    shares: dict[str, list[float]] = {m: [] for m in ("bequest", ANYTIME)}
    for (name, seed, _), (contexts, matrix) in zip(jobs, found, strict=True):
        task = f"{name}-s{seed}"
        mine = runs_on(task, contexts, matrix, seed, budget, [*methods, "oracle"])
        draws = [
            np.maximum.accumulate(matrix[rng.permutation(len(matrix))[:budget]], axis=0).mean(1)
            for _ in range(100)
        ]
        low = np.mean(draws, axis=0)
        runs += mine
        runs += [Run(task, "random", i, tuple(v), 0.0) for i, v in enumerate(draws)]
        values = {run.method: np.array(run.values) for run in mine}
        bounds[task] = values["oracle"], low
        for method, counts in reached.items():
            hits = np.flatnonzero(values[method] >= low[29] - 1e-9)
            counts.append(int(hits[0]) + 1 if len(hits) else budget + 1)
            row = {"task": task, "method": method, "what": "sources to random's V at K = 30"}
            result.rows.append({**row, "mean": counts[-1], "censored_at": budget + 1})
        for method, found_shares in shares.items():
            found_shares.append(float(values[method][14] / values["oracle"][14]))
    summarise(runs, bounds, budget, result)
    for method, found_shares in shares.items():
        name = f"{method}: sources to random's V at K = 30, worst matrix"
        result.claim(name, max(reached[method]), 6, "lower")
        name = f"{method}: V at 15 beside the sequential oracle's, worst matrix"
        result.claim(name, min(found_shares), 0.98, "higher")


# Cost of a step -----------------------------------------------------------------------------------


def run_scale(result: Result) -> None:
    """Seconds and memory of a step of the default selector, 3-D."""
    for size, bar_ms in ((512, 10.0), (100_000, 1000.0)):
        rng = np.random.default_rng(0)
        contexts = rng.random((size, 3))
        direction = rng.normal(size=3)
        before = _peak_bytes()
        selector = make_selector("bequest", contexts)
        steps = []
        for _ in range(30):
            began = time.process_time()
            index = selector.ask()
            steps.append(1e3 * (time.process_time() - began))
            distance = np.abs(contexts[index] - contexts).sum(1)
            row = contexts[index] @ direction - distance + 0.1 * rng.normal(size=size)
            selector.tell(index, row)
        row_out: dict[str, Any] = {"method": "bequest", "what": "step", "n": size}
        row_out |= {"step_ms": round(float(np.mean(steps)), 2), "max_ms": round(max(steps), 2)}
        more = _peak_bytes() - before
        result.rows.append({**row_out, "more_memory_mib": round(more / 2**20, 1)})
        name = f"a step at N = {size}, mean of 30, CPU ms"
        result.claim(name, float(np.mean(steps)), bar_ms, "lower")
        if size == 100_000:
            result.claim("memory at N = 100,000, GiB", more / 2**30, 1.0, "lower")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run a suite, then print and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--suite", required=True, choices=[*DIMENSIONS, *REAL, "scale"])
    parser.add_argument("--noise", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--methods", help="by default all that work in so many dimensions")
    parser.add_argument("--mirrored", action="store_true", help="contexts from their other end")
    parser.add_argument(
        "--work", default="benchmarks/results/matrices", help="where trained matrices are kept"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out")
    args = parser.parse_args()
    result = Result("task_selection")
    if args.suite == "scale":
        run_scale(result)
    elif args.suite in REAL:
        run_real(args, result)
    else:
        run_synthetic(args, result)
    result.write(args.out)


if __name__ == "__main__":
    main()
