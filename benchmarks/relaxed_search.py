"""Relaxed architecture search: the solvable model, the cost of a step, cells, graphs, widths.

``python -m benchmarks.relaxed_search --part PART --seeds S --out FILE.json``, where PART is

* ``model``: every limit and trajectory point that is known of the solvable model, to 1e-6.
* ``cost``: CPU time of a step and peak memory of each method, on one supernet in one run.
* ``cells``: NAS-Bench-201 cells searched on a CIFAR-10 subset, judged by the published 200-epoch
  accuracies (`relaxed_cells`).
* ``graphs``: NAS-Bench-Graph's networks searched on Cora, CiteSeer and Photo, judged by its table
  (`relaxed_graphs`).
* ``width``: half the FLOPs of a residual network on Fashion-MNIST (`relaxed_width`).

Long parts keep what they have measured in ``--work`` and go on from there.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from bequest.evaluators.image.cell_network import Shape
from bequest.evaluators.image.supernet import ImageHalves, cell_supernet
from bequest.evaluators.image.tasks import Images
from bequest.evaluators.supernet import Supernet
from bequest.search.two_stage.one_shot.bilevel import OneShotOptimiser
from bequest.search.two_stage.one_shot.darts import Darts
from bequest.search.two_stage.one_shot.exact import ExactHypergradient
from bequest.search.two_stage.one_shot.rarts import Coupling, Rarts
from bequest.search.two_stage.one_shot.settings import METHODS, OneShotSettings
from bequest.search.two_stage.one_shot.solvable import SolvableModel, plain, rarts_limit
from bequest.spaces.cell import nas_bench_201_space

from .harness import Result

PARTS = ("model", "cost", "cells", "graphs", "width")
COST_BARS = {"rarts": 0.42, "rarts-literal": 0.85}
WEIGHTS_ONLY = "weights-only"
BATCH = 64

# The solvable model -------------------------------------------------------------------------------

MODEL = SolvableModel()
W, ALPHA = MODEL.start()


def _darts_1(rate: float = 0.01) -> Darts:
    return Darts(MODEL, W, ALPHA, plain(rate), alpha_first=False)


def _darts_2(xi: float = 0.5, rate: float = 0.01) -> Darts:
    return Darts(MODEL, W, ALPHA, plain(rate), order=2, xi=xi)


def _rarts(rate: float = 0.01, form: str = "literal", **coupling: Any) -> Rarts:
    settings = Coupling(**{"lam": 10, "beta": 10, **coupling})
    return Rarts(MODEL, W, ALPHA, plain(rate), coupling=settings, form=form)


def _point(optimiser: OneShotOptimiser) -> np.ndarray:
    """(alpha, w), and y where there is one."""
    values = [optimiser.alpha, optimiser.w]
    values += [optimiser.y] if isinstance(optimiser, Rarts) else []
    return np.array([v.item() for v in values])


def _after(optimiser: OneShotOptimiser, steps: int) -> np.ndarray:
    for _ in range(steps):
        optimiser.step(None, None)
    return _point(optimiser)


TRAJECTORIES = {
    "darts-1": (
        _darts_1,
        {1: (2.0392, -1.92), 10: (2.357344, -1.236631), 100: (3.213469, 2.438762)},
    ),
    "darts-2": (_darts_2, {1: (1.98, -1.9204), 10: (1.817073, -1.287804), 100: (1.13262, 0.86738)}),
    "rarts-literal": (
        _rarts,
        {
            1: (1.3994, -1.2, -1.94),
            10: (0.055609, -0.277295, -0.987123),
            100: (0.34687, 0.278357, 0.196189),
        },
    ),
}


def model(args: argparse.Namespace, result: Result) -> None:
    """The model's limits and trajectories."""
    unbiased = 1 / (1 - 1 / 40)
    limits: list[tuple[str, str, OneShotOptimiser, int, tuple[float, ...]]] = [
        ("darts-1", "", _darts_1(0.2), 600, (2, 2)),
        *(
            ("darts-2", f"xi {xi}", _darts_2(xi, 0.2), 1500, (2 / (1 + 2 * xi),) * 2)
            for xi in (0.01, 0.1, 0.5, 1.0)
        ),
        *(
            (method, "lambda, beta 10", _rarts(0.04, form), 1500, rarts_limit(10, 10))
            for method, form in (("rarts", "fused"), ("rarts-literal", "literal"))
        ),
        (
            "rarts-literal",
            "lambda, beta 100",
            _rarts(0.0065, lam=100, beta=100),
            6000,
            rarts_limit(100, 100),
        ),
        (
            "rarts-literal",
            "continuation to 200",
            _rarts(0.004, growth=1.003, lam_growth=1.003, largest=200),
            2600,
            rarts_limit(200, 200),
        ),
        (
            "rarts",
            "lambda, beta 10, multiplier",
            _rarts(0.03, "fused", multiplier=True),
            1500,
            (unbiased, unbiased * (1 - 1 / 20), unbiased * (1 - 1 / 20)),
        ),
        (
            "exact-hypergradient",
            "",
            ExactHypergradient(MODEL, W, ALPHA, plain(0.3), inner=30),
            100,
            (1, 1),
        ),
    ]
    errors = []
    for method, setting, optimiser, steps, known in limits:
        error = float(np.abs(_after(optimiser, steps) - known).max())
        errors.append(error)
        row = {"what": "limit", "method": method, "setting": setting, "steps": steps}
        result.rows.append(
            {**row, "error": error, "to_optimum": float(np.abs(np.array(known) - 1).max())}
        )
    for method, (make, points) in TRAJECTORIES.items():
        for steps, known in points.items():
            error = float(np.abs(_after(make(), steps) - known).max())
            errors.append(error)
            row = {"what": "trajectory", "method": method, "steps": steps, "error": error}
            result.rows.append(row)
    result.claim("largest error of limits and trajectories", max(errors), 1e-6, "lower")
    optimiser = _rarts()
    values = [optimiser.objective(None, None)]
    for _ in range(3000):
        optimiser.step(None, None)
        values.append(optimiser.objective(None, None))
    rises = [b - a for a, b in itertools.pairwise(values)]
    result.rows.append(
        {"what": "lagrangian", "method": "rarts-literal", "first": values[0], "last": values[-1]}
    )
    result.claim("largest rise of L in 3,000 steps", max(rises), 1e-12, "lower")
    result.claim("L ends at -3/37: error", abs(values[-1] + 3 / 37), 1e-6, "lower")


# The cost of a step -------------------------------------------------------------------------------


SUPERNETS = {"4 channels, 8 x 8": (1, 4, 8), "8 channels, 16 x 16": (3, 8, 16)}
"""Image channels, cell channels, pixels: the digits' and that of the ``cells`` part."""


def _supernet(name: str) -> Supernet:
    """A supernet on random images: what is on them costs nothing."""
    inputs, channels, size = SUPERNETS[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * BATCH, inputs, size, size, generator=generator)
    y = torch.randint(10, (2 * BATCH,), generator=generator)
    half = Images(x[:BATCH], y[:BATCH]), Images(x[BATCH:], y[BATCH:])
    halves = ImageHalves(*half, seed=0, batch_size=BATCH)
    return cell_supernet(nas_bench_201_space(), Shape(inputs, 10, channels), halves, seed=0)


def _optimiser(method: str, supernet: Supernet) -> OneShotOptimiser:
    settings = OneShotSettings(method=METHODS[0] if method == WEIGHTS_ONLY else method)
    weights, alpha = supernet.start(0)
    if method == WEIGHTS_ONLY:
        return Darts(supernet, weights, alpha, settings.optimiser)
    return settings.make_optimiser(supernet, weights, alpha)


def _steps(method: str, supernet: Supernet, steps: int) -> float:
    """CPU seconds of some steps."""
    optimiser = _optimiser(method, supernet)
    (pair,) = supernet.halves.batches(0)
    optimiser.step(*pair)  # the first one allocates
    began = time.process_time()
    for _ in range(steps):
        optimiser.step(*pair, move_alpha=method != WEIGHTS_ONLY)
    return time.process_time() - began


def _peak(method: str, supernet: Supernet) -> float:
    """The most MiB that one step allocates beside weights and optimiser: the allocator's count."""
    optimiser = _optimiser(method, supernet)
    (pair,) = supernet.halves.batches(0)
    moves = method != WEIGHTS_ONLY
    optimiser.step(*pair, move_alpha=moves)  # the optimiser's own state comes with the first
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        optimiser.step(*pair, move_alpha=moves)
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return max(itertools.accumulate(sizes)) / 2**20


def cost(args: argparse.Namespace, result: Result) -> None:
    """CPU time of a step, methods by turns; peak memory of one."""
    torch.set_num_threads(1)
    methods = (WEIGHTS_ONLY, *METHODS)
    for name in SUPERNETS:
        supernet = _supernet(name)
        spent: dict[str, list[float]] = {method: [] for method in methods}
        for _ in range(args.rounds):
            for method in methods:
                spent[method].append(_steps(method, supernet, 3) / 3)
        for method in methods:
            peak = _peak(method, supernet)
            ratio = float(np.median(np.array(spent[method]) / np.array(spent["darts-2"])))
            row = {"supernet": name, "method": method}
            row["cpu_ms_step"] = round(1000 * float(np.median(spent[method])), 1)
            row |= {"ratio_to_darts2": round(ratio, 3), "peak_mib_step": round(peak, 2)}
            result.rows.append(row)
            if method in COST_BARS:
                claim = f"{method}: CPU of a step to DARTS-2's, {name}"
                result.claim(claim, ratio, COST_BARS[method], "lower")


def main() -> None:
    """Run one part, print and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--darts2-seeds", type=int, help="cells: DARTS-2 is dear; fewer seeds")
    parser.add_argument("--rounds", type=int, default=15, help="cost: rounds of all methods")
    parser.add_argument("--methods", help="cells, graphs: only these, by commas")
    parser.add_argument("--datasets", help="graphs: only these, by commas")
    parser.add_argument("--data-root", type=Path, default=os.environ.get("BEQUEST_DATA"))
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/relaxed"))
    parser.add_argument("--out")
    args = parser.parse_args()
    result = Result("relaxed_search")
    if args.part in ("model", "cost"):
        {"model": model, "cost": cost}[args.part](args, result)
    else:
        module = importlib.import_module(f"benchmarks.relaxed_{args.part}")
        module.run(args, result)
    result.write(args.out)


if __name__ == "__main__":
    main()
