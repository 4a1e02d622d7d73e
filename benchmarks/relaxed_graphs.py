"""Part ``graphs``: NAS-Bench-Graph's networks searched on the data, judged by its table.

A relaxed search names candidates; each is trained from scratch (Cora, CiteSeer: twice, with other
initial weights on the same public split) and the best by validation accuracy is chosen. ``random``
trains as many random networks in the same way. The table is looked at when all is over: ``top`` is
the share of its networks whose validation accuracy is higher, in percent. ``trained`` is what our
own trainings found of the same networks, by which they were chosen.

Photo has no public split. The table's networks learned from few nodes, as on the other two: 20
nodes of each class train here, 30 validate, drawn anew for each seed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bequest.evaluators.datasets import load_task
from bequest.evaluators.graph.cell import GraphCellEvaluator
from bequest.evaluators.graph.tasks import NodeClassification
from bequest.evaluators.table import TableEvaluator
from bequest.search.two_stage.one_shot.search import SupernetSearch
from bequest.search.two_stage.one_shot.settings import default_settings

from .harness import Result, Summary

DATASETS = ("cora", "citeseer", "photo")
METHODS = ("rarts", "darts-1", "random")
CANDIDATES = 8
REPEATS = {"photo": 1}
SPLITS = 10
TRAIN, VALIDATE = 20, 30
"""Nodes of each class, where there is no public split."""

BAR_TOP = 2.0


def load(dataset: str, data_root: Path) -> NodeClassification:
    """A task with a split of few labels."""
    task = load_task(dataset, data_root)
    assert isinstance(task, NodeClassification)
    if "public" in str(task.describe()["split"]):
        return task
    data = task.data.clone()
    parts = {
        "train_mask": (0, TRAIN),
        "val_mask": (TRAIN, TRAIN + VALIDATE),
        "test_mask": (TRAIN + VALIDATE, None),
    }
    masks = {name: torch.zeros(data.num_nodes, SPLITS, dtype=torch.bool) for name in parts}
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(data.num_nodes)
        for label in range(task.classes):
            nodes = order[task.labels.numpy()[order] == label]
            for name, (start, end) in parts.items():
                masks[name][nodes[start:end], split] = True
    for name, mask in masks.items():
        data[name] = mask
    return NodeClassification(data, name=dataset)


def search(dataset: str, method: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One search and its choice; kept in the work folder."""
    path = args.work / f"graphs-{dataset}-{method}-{seed}.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept
    evaluator = GraphCellEvaluator(load(dataset, args.data_root))
    began = time.process_time()
    if method == "random":
        rng = np.random.default_rng(seed)
        candidates = [
            {"config": evaluator.space.sample(rng), "origin": "random"} for _ in range(CANDIDATES)
        ]
    else:
        settings = default_settings(method, evaluator.space)
        found = SupernetSearch(evaluator.supernet(seed=seed), settings, seed=seed)
        found.run()
        candidates = [asdict(c) for c in found.candidates(CANDIDATES)]
    searched = time.process_time() - began
    for candidate in candidates:
        values = [
            evaluator(candidate["config"], seed=seed + 1000 * r).value
            for r in range(REPEATS.get(dataset, 2))
        ]
        candidate["value"] = float(np.mean(values))
    seconds = time.process_time() - began
    kept = {"candidates": candidates, "search_seconds": searched, "seconds": seconds}
    path.write_text(json.dumps(kept))
    print(dataset, method, seed, round(searched, 1), round(seconds, 1), flush=True)
    return kept


def run(args: argparse.Namespace, result: Result) -> None:
    """Search with every method, data set and seed, then judge."""
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    methods = args.methods.split(",") if args.methods else METHODS
    path = Path(args.data_root) / "gnn_bank" / "nas_bench_graph.parquet"
    tops: dict[str, list[float]] = {method: [] for method in methods}
    for dataset in args.datasets.split(",") if args.datasets else DATASETS:
        table = TableEvaluator.nas_bench_graph(path, dataset)
        values = np.array([o.value for o in table.table.values()])
        for method in methods:
            runs = [search(dataset, method, seed, args) for seed in range(args.seeds)]
            best = [max(r["candidates"], key=lambda c: c["value"])["config"] for r in runs]
            first = [r["candidates"][0]["config"] for r in runs]
            values_of = [[c["value"] for c in r["candidates"]] for r in runs]
            own = {"first": [v[0] for v in values_of], "chosen": [max(v) for v in values_of]}
            for how, configs in (("first", first), ("chosen", best)):
                outcomes = [table(config) for config in configs]
                top = [100 * float((values > o.value).mean()) for o in outcomes]
                row = {"task": dataset, "method": method, "derived": how, "seeds": args.seeds}
                row |= {f"top_{k}": v for k, v in Summary.of(top).row().items()}
                row["validation"] = round(float(np.mean([o.value for o in outcomes])), 4)
                row["trained"] = round(float(np.mean(own[how])), 4)
                tested = [o.metrics["test_accuracy"] for o in outcomes]
                row["test"] = round(float(np.mean(tested)), 4)
                row["cpu_s_seed"] = round(float(np.mean([r["seconds"] for r in runs])), 1)
                result.rows.append(row)
                if how == "chosen":
                    tops[method] += top
    for method in methods:
        summary = Summary.of(tops[method])
        result.rows.append({"task": "all", "method": method, "derived": "chosen", **summary.row()})
    if "rarts" in tops:
        ours = float(np.mean(tops["rarts"]))
        result.claim("rarts: in the top so many percent, on average", ours, BAR_TOP, "lower")
        for rival in [m for m in methods if m != "rarts"]:
            bar = float(np.mean(tops[rival]))
            result.claim(f"rarts at least as near the top as {rival}", ours, bar, "lower")
