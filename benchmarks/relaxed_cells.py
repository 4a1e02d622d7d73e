"""Part ``cells``: NAS-Bench-201 cells searched on a CIFAR-10 subset, judged by the table.

Searched on 10,000 images of 16 x 16 pixels in two halves, 8 channels, one cell a stage. Each method
derives a cell by its largest alphas, and one by choice: a short training from scratch (on the train
half, judged by the validation half) of the candidates that the search names. Nothing looks at the
table before the end. Beside it: random cells, and local search and regularised evolution on the
table's 12-epoch validation accuracies with as many queries as the search's CPU time would buy of
such trainings at this scale.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import optuna
import torch

from bequest.evaluators.datasets import load_task
from bequest.evaluators.image.cell_network import Shape, cell_network
from bequest.evaluators.image.supernet import ImageHalves, cell_supernet
from bequest.evaluators.image.tasks import ImageClassification, Images
from bequest.evaluators.image.training import Budget, score, train
from bequest.evaluators.seeding import seeded
from bequest.evaluators.table import TableEvaluator
from bequest.search.samplers import make_sampler
from bequest.search.two_stage.one_shot.search import SupernetSearch
from bequest.search.two_stage.one_shot.settings import OneShotSettings
from bequest.spaces import Config, Space

from .harness import Result, Summary

METHODS = ("rarts", "darts-1", "darts-2")
IMAGES = 12_500
"""Of which 10,000 are training images, the two halves; the rest is not looked at."""
SIZE = 16
CANDIDATES = 6
SHORT = Budget(epochs=5, images=IMAGES, size=SIZE)
QUERY_EPOCHS = 12
TABLE_SEEDS = 20
BAR_MEAN, BAR_LOW = 93.9, 93.0


def search(task: ImageClassification, space: Space, method: str, seed: int, work: Path) -> dict:
    """One search with its choice; kept in the work folder, epoch by epoch."""
    path = work / f"cells-{method}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    train_half, validation_half = task.parts(seed, IMAGES, SIZE)["train"].halves(seed)
    shift = SIZE // 8
    halves = ImageHalves(train_half, validation_half, seed=seed, flips=task.flips, shift=shift)
    shape = Shape(task.channels, task.classes)
    supernet = cell_supernet(space, shape, halves, seed=seed)
    settings = OneShotSettings(method=method)
    found = SupernetSearch(supernet, settings, seed=seed, checkpoint=path.with_suffix(".pt"))
    found.run(lambda: print(method, seed, found.epochs[-1].epoch, found.epochs[-1].config))
    began = time.process_time()
    candidates = [asdict(c) for c in found.candidates(CANDIDATES)]
    removal_seconds = time.process_time() - began
    for candidate in candidates:
        candidate |= short_training(
            space, candidate["config"], shape, train_half, validation_half, task.flips, seed
        )
    kept = {
        "method": method,
        "seed": seed,
        "epochs": [asdict(e) for e in found.epochs],
        "candidates": candidates,
        "collapse": str(found.collapse),
        "search_seconds": sum(e.seconds for e in found.epochs) + removal_seconds,
    }
    path.write_text(json.dumps(kept))
    return kept


def short_training(
    space: Space,
    config: Config,
    shape: Shape,
    train_half: Images,
    validation_half: Images,
    flips: bool,
    seed: int,
) -> dict[str, float]:
    """Validation accuracy after a few epochs from scratch, and CPU seconds."""
    began = time.process_time()
    with seeded(seed):
        network = cell_network(space, config, shape)
    train(network, train_half, SHORT, seed=seed, flips=flips)
    accuracy, _ = score(network, validation_half)
    return {"accuracy": accuracy, "seconds": time.process_time() - began}


def query_seconds(task: ImageClassification, space: Space, work: Path) -> float:
    """CPU seconds of one training of 12 epochs at this scale: the mean over three random cells."""
    path = work / "cells-query.json"
    if not path.exists():
        first, second = task.parts(0, IMAGES, SIZE)["train"].halves(0)
        seconds = []
        for i in range(3):
            config = space.sample(np.random.default_rng(i))
            network = cell_network(space, config, Shape(task.channels, task.classes))
            began = time.process_time()
            train(network, first, replace(SHORT, epochs=2), seed=0, flips=task.flips)
            score(network, second)
            seconds.append((time.process_time() - began) * QUERY_EPOCHS / 2)
        path.write_text(json.dumps(float(np.mean(seconds))))
    return float(json.loads(path.read_text()))


# On the table -------------------------------------------------------------------------------------


def evolution(table: TableEvaluator, queries: int, seed: int) -> float:
    """200-epoch accuracy of the best of so many cells by 12-epoch validation."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=make_sampler("evolution", table.space, seed), direction="maximize"
    )
    for _ in range(queries):
        trial = study.ask()
        study.tell(trial, table(table.space.suggest(trial)).value)
    return _published(table, study.best_params)


def local_search(table: TableEvaluator, queries: int, seed: int) -> float:
    """First improvement from a random cell; at a local optimum, again from another."""
    rng = np.random.default_rng(seed)
    best: Config = {}
    value, asked = -np.inf, 0
    while asked < queries:
        here = table.space.sample(rng)
        here_value = table(here).value
        asked += 1
        moving = True
        while moving and asked < queries:
            moving = False
            for neighbour in _neighbours(table.space, here, rng):
                asked += 1
                neighbour_value = table(neighbour).value
                if neighbour_value > here_value:
                    here, here_value, moving = neighbour, neighbour_value, True
                if moving or asked >= queries:
                    break
        if here_value > value:
            best, value = here, here_value
    return _published(table, best)


def _neighbours(space: Space, config: Config, rng: np.random.Generator) -> Iterator[Config]:
    options = {p.name: p.distribution.choices for p in space.parameters}  # type: ignore[attr-defined]
    changes = [(n, o) for n, values in options.items() for o in values if o != config[n]]
    for i in rng.permutation(len(changes)):
        name, option = changes[i]
        yield {**config, name: option}


def _published(table: TableEvaluator, config: Config) -> float:
    return 100 * table(config).metrics["test_accuracy"]


# All ----------------------------------------------------------------------------------------------


def run(args: argparse.Namespace, result: Result) -> None:
    """Search with every method and seed, then judge."""
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    task = load_task("cifar10", args.data_root)
    assert isinstance(task, ImageClassification)
    root = Path(args.data_root)
    table = TableEvaluator.nas_bench_201(root / "nas" / "nas_bench_201.parquet", "cifar10")
    methods = args.methods.split(",") if args.methods else METHODS
    means: dict[tuple[str, str], Summary] = {}
    lows: dict[str, float] = {}
    seconds = 0.0
    for method in methods:
        seeds = args.darts2_seeds or args.seeds if method == "darts-2" else args.seeds
        runs = [search(task, table.space, method, s, args.work) for s in range(seeds)]
        chosen = [max(r["candidates"], key=lambda c: c["accuracy"]) for r in runs]
        choosing = np.mean([sum(c["seconds"] for c in r["candidates"]) for r in runs])
        searching = float(np.mean([r["search_seconds"] for r in runs]))
        derived = {
            "largest alpha": ([r["candidates"][0]["config"] for r in runs], searching),
            "chosen": ([c["config"] for c in chosen], searching + float(choosing)),
        }
        for how, (configs, spent) in derived.items():
            values = [_published(table, config) for config in configs]
            summary = means[method, how] = Summary.of(values)
            row = {"task": "cifar10", "method": method, "derived": how, "seeds": seeds}
            row |= {**summary.row(), "min": round(min(values), 2), "cpu_s_seed": round(spent, 1)}
            result.rows.append({**row, "values": [round(v, 2) for v in values]})
            lows[f"{method} {how}"] = min(values)
        collapsed = sum(r["collapse"].startswith("collapsed") for r in runs)
        row = {"what": "collapse", "method": method, "seeds": seeds}
        result.rows.append({**row, "collapsed": collapsed})
        if method == "rarts":
            seconds = searching + float(choosing)
    rng = np.random.default_rng(0)
    drawn = [_published(table, table.space.sample(rng)) for _ in range(args.seeds)]
    everything = [100 * o.metrics["test_accuracy"] for o in table.table.values()]
    for name, values in (("random", drawn), ("all cells", everything)):
        row = {"task": "cifar10", "method": name, "seeds": len(values)}
        result.rows.append({**row, **Summary.of(values).row(), "min": round(min(values), 2)})
    query = query_seconds(task, table.space, args.work)
    queries = max(1, round(seconds / query))
    for name, method in (("local-search", local_search), ("evolution", evolution)):
        for count in (queries, 25, 50):
            values = [method(table, count, seed) for seed in range(TABLE_SEEDS)]
            row = {"task": "cifar10", "method": name, "queries": count, "seeds": TABLE_SEEDS}
            row |= {**Summary.of(values).row(), "min": round(min(values), 2)}
            result.rows.append({**row, "cpu_s_seed": round(count * query, 1)})
    _claims(result, means, lows, float(np.mean(drawn)))


def _claims(
    result: Result,
    means: dict[tuple[str, str], Summary],
    lows: dict[str, float],
    random_mean: float,
) -> None:
    for how in ("largest alpha", "chosen"):
        if ("rarts", how) not in means:
            continue
        ours, label = means["rarts", how].mean, f"rarts ({how})"
        result.claim(f"{label}: mean published accuracy", ours, BAR_MEAN, "higher")
        result.claim(f"{label}: the worst seed", lows[f"rarts {how}"], BAR_LOW, "higher")
        for rival in [r for r in ("darts-1", "darts-2") if (r, how) in means]:
            name = f"{label} at least as good as {rival} ({how})"
            result.claim(name, ours, means[rival, how].mean, "higher")
        result.claim(f"{label} ahead of as many random cells", ours, random_mean, "higher")
