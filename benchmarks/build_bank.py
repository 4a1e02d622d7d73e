"""Make the bank that ships with the package: every design on every task, with Bequest's evaluator.

``python -m benchmarks.build_bank --data-root DATA --work FOLDER [--processes 2]``. It can be
stopped and run again at any time: what was measured is kept in FOLDER, one line a training, and
what ``banks/bundled/graphs`` already holds is not measured again.

Two rounds of designs, the same on every task. The first spreads over the space (textbook networks,
then draws from the part of it that trains at all). The second breeds the best designs of each task;
such a design remembers the task that it came from (``origin``), so that whoever leaves a task out
can leave its offspring out, too. ``--pack`` writes what is there into ``banks/bundled/graphs``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bequest.banks.bundled import GRAPHS
from bequest.search.samplers.evolution import mutate
from bequest.spaces import Config
from bequest.spaces.gnn import gnn_space

from .trainings import Job, key, measure_all, pack, part, read, train

NODE_TASKS = (
    *("cora", "citeseer", "photo", "computers", "cs", "texas", "wisconsin", "actor", "chameleon"),
    *("airports-usa", "airports-brazil", "airports-europe"),
    *("digits-knn", "wine-knn", "breast-cancer-knn"),
    *("sbm-homophilous", "sbm-heterophilous", "ba-shapes"),
)
GRAPH_TASKS = (
    *("mutag", "proteins", "enzymes", "bzr", "cox2", "ptc-mr", "imdb-binary", "nci1"),
    *("motif-graphs", "fake-graphs"),
)
TASKS = NODE_TASKS + GRAPH_TASKS
SLOW = (
    *("fake-graphs", "imdb-binary", "proteins"),
    *("cs", "computers", "photo", "nci1", "actor"),
)
"""Done last, and not bred from, so that a bank without them is there early."""

FIRST_ROUND = 80
MORE = 10
"""Draws beyond the first round, done last: without pooling some designs of the rounds are equal."""

SECONDS = 45.0
"""CPU time: a training that takes longer is stopped, and its curve so far is its result."""

LEAST_DESIGNS = 20
"""A task with fewer is not packed."""

_TEXTBOOK: list[Config] = [
    {},
    {"layer": "sage", "aggregation": "mean", "dropout": 0.5},
    {"layer": "gat", "heads": 4, "activation": "elu", "width": 64, "learning_rate": 0.005},
    {"layer": "cheb", "order": 2, "width": 32},
    {"layer": "arma", "width": 32},
    {"layer": "graph", "aggregation": "sum", "stage": "skip-sum", "batch_norm": True},
    {"layer": "mlp", "width": 128},
    {"layer": "gcn", "stage": "skip-concat", "layers_pre": 1, "layers_post": 1, "width": 128},
]
_NARROWED: dict[str, Any] = {
    "layers_pre": (0, 0, 1, 1, 2),
    "layers_mp": (1, 2, 2, 3, 4, 6),
    "layers_post": (0, 0, 1, 1, 2),
    "width": (16, 32, 64, 64, 128),
    "optimizer": ("adam", "adam", "adam", "sgd"),
    "epochs": (100, 150, 200, 200),
    "batch_size": (32, 64, 128),
}


def first_round(n: int = FIRST_ROUND) -> list[Config]:
    """Textbook networks, then draws; for graphs (a design for nodes is one without pooling)."""
    space, node = gnn_space("graph"), gnn_space("node")
    assert space.default is not None
    assert node.default is not None
    pooled = {"pooling": "mean", "batch_size": 32}
    designs = [space.default]
    designs += [space.validate({**node.default, **pooled, **given}) for given in _TEXTBOOK]
    rng = np.random.default_rng(20261123)
    while len(designs) < n:
        given: Config = {k: v[rng.integers(len(v))] for k, v in _NARROWED.items()}
        given["learning_rate"] = _log_uniform(rng, 1e-3, 3e-2)
        given["weight_decay"] = _log_uniform(rng, 1e-6, 5e-3)
        designs.append(space.sample(rng, given))
    return designs


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")


def second_round(rows: list[dict[str, Any]]) -> list[tuple[Config, str]]:
    """A child of each of the two best of the first round on each fast task, with the task."""
    space = gnn_space("graph")
    first = first_round()
    children = []
    for index, task in enumerate(TASKS):
        if task in SLOW:
            continue
        drawn = {key(task, of_task(config, task)) for config in first}
        done = [r for r in rows if r["key"] in drawn and r["value"] is not None]
        done.sort(key=lambda r: -r["value"])
        for child, parent in enumerate(done[:2]):
            rng = np.random.default_rng([7, index, child])
            given = {"pooling": "mean", "batch_size": 64, **parent["config"]}
            config = mutate(space, mutate(space, space.validate(given), rng), rng)
            config["epochs"], config["width"] = (
                min(config["epochs"], 200),
                min(config["width"], 128),
            )
            children.append((space.validate(config), task))
    return children


def of_task(config: Config, task: str) -> Config:
    """The design as the task's space has it."""
    if task in GRAPH_TASKS:
        return config
    return {k: v for k, v in config.items() if k not in ("pooling", "batch_size")}


_loaded: dict[str, Any] = {}


def measure(job: Job) -> dict[str, Any]:
    """Train one design on one task."""
    from bequest.evaluators import GraphEvaluator, load_task

    task, root = job[0], job[3]
    if task not in _loaded:
        _loaded.clear()
        _loaded[task] = GraphEvaluator(load_task(task, root))
    return train(_loaded[task], job, SECONDS)


def jobs(
    designs: list[tuple[Config, str]], tasks: list[str], done: set[str], root: str | None
) -> Iterator[Job]:
    """What is left to do: task by task, in blocks of designs."""
    for start in range(0, len(designs), 10):
        for task in tasks:
            for config, origin in designs[start : start + 10]:
                own = of_task(config, task)
                if key(task, own) not in done:
                    yield task, own, origin, root


def run(work: Path, root: str | None, processes: int) -> None:
    """Measure whatever is missing."""
    first = [(config, "") for config in first_round()]
    fast = sorted(task for task in TASKS if task not in SLOW)
    _measure_all("first round", first, fast, work, root, processes)
    second = second_round(read(work, GRAPHS))
    _measure_all("second round", second, fast, work, root, processes)
    more = [(config, "") for config in first_round(FIRST_ROUND + MORE)[FIRST_ROUND:]]
    _measure_all("more draws", more, fast, work, root, processes)
    _measure_all("slow tasks", first + second + more, list(SLOW), work, root, processes)


def _measure_all(
    what: str,
    designs: list[tuple[Config, str]],
    tasks: list[str],
    work: Path,
    root: str | None,
    processes: int,
) -> None:
    done = {row["key"] for row in read(work, GRAPHS)}
    measure_all(what, measure, list(jobs(designs, tasks, done, root)), work, processes)


def pack_all(work: Path, root: str | None, folder: Path) -> int:
    """Write the tasks that have been measured as Parquet; return how many records there are."""
    from bequest.evaluators import GraphEvaluator, load_task

    rows = read(work, GRAPHS)
    parts, fingerprints = [], []
    for name in TASKS:
        mine = [row for row in rows if row["task"] == name]
        if len(mine) < LEAST_DESIGNS:
            continue
        task = load_task(name, root)
        evaluator = GraphEvaluator(task)
        space = gnn_space("graph" if name in GRAPH_TASKS else "node")
        parts.append(part(evaluator, space, mine))
        described = evaluator.fingerprints()
        fingerprints += [(name, kind, vector) for kind, vector in described.items()]
    return pack(parts, fingerprints, folder)


def main() -> None:
    """Run both rounds, or pack what they have measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-root", default=os.environ.get("BEQUEST_DATA"))
    parser.add_argument("--work", type=Path, default=Path("build/bank"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="write Parquet, train nothing")
    args = parser.parse_args()
    if args.pack is not None:
        print(f"wrote {pack_all(args.work, args.data_root, args.pack)} records to {args.pack}")
        return
    run(args.work, args.data_root, args.processes)


if __name__ == "__main__":
    main()
