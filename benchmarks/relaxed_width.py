"""Part ``width``: half the FLOPs of a residual network on Fashion-MNIST.

All methods train for as many epochs in all. ``whole`` is the network that is to be made smaller;
``rarts`` takes it after some epochs, searches its widths by gates, prunes and trains on;
``magnitude`` takes out the filters of smallest mean size (relative to their layer's) instead;
``uniform`` trains a network whose layers were all made narrower by the same factor.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bequest.evaluators.datasets import load_task
from bequest.evaluators.image.residual import ResidualNetwork, ResidualShape, flops, prune
from bequest.evaluators.image.supernet import ImageHalves
from bequest.evaluators.image.tasks import ImageClassification, Images
from bequest.evaluators.image.training import Budget, score, train
from bequest.evaluators.seeding import seeded
from bequest.search.two_stage.one_shot.width import WidthSettings, channels_for, search_widths

from .harness import Result, Summary

METHODS = ("whole", "rarts", "magnitude", "uniform")
TARGET = 0.5
IMAGES, SIZE = 25_000, 14
SHAPE = ResidualShape(1, 10, widths=(8, 16, 32), blocks=1)
FIRST, SEARCH, SECOND = 4, 2, 14
"""Epochs of the whole network, of the search for widths, and after pruning."""

FRESH = 10
"""The first seed: those below served development."""

ALL = FIRST + SEARCH + SECOND
BUDGET = Budget(epochs=ALL, images=IMAGES, size=SIZE, learning_rate=0.1)
LOSS_BAR = 0.5


def accuracy(method: str, task: ImageClassification, seed: int, work: Path) -> dict[str, float]:
    """Test accuracy (%), the share of FLOPs and CPU seconds of one method; kept in the folder."""
    path = work / f"width-{method}-{seed}.json"
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    parts = task.parts(seed, IMAGES, SIZE)
    began = time.process_time()
    with seeded(seed):
        network = _METHODS[method](task, parts["train"], seed)
    seconds = time.process_time() - began
    whole = flops(SHAPE, SHAPE.all_channels(), SIZE)
    share = flops(network.shape, network.kept, SIZE) / whole
    test = 100 * score(network, parts["test"])[0]
    found = {"accuracy": test, "flops_share": share, "seconds": seconds}
    path.write_text(json.dumps(found))
    print(method, seed, found, flush=True)
    return found


def _fit(network: nn.Module, images: Images, epochs: int, seed: int, flips: bool) -> None:
    train(network, images, replace(BUDGET, epochs=epochs), seed=seed, flips=flips)


def _whole(task: ImageClassification, images: Images, seed: int) -> ResidualNetwork:
    network = ResidualNetwork(SHAPE)
    _fit(network, images, ALL, seed, task.flips)
    return network


def _rarts(task: ImageClassification, images: Images, seed: int) -> ResidualNetwork:
    whole = ResidualNetwork(SHAPE)
    _fit(whole, images, FIRST, seed, task.flips)
    first, second = images.halves(seed)
    halves = ImageHalves(first, second, seed=seed, flips=task.flips, shift=SIZE // 8)
    # An epoch of both halves goes through as many images as an epoch of the others.
    settings = WidthSettings(epochs=SEARCH)
    found = search_widths(SHAPE, halves, TARGET, seed=seed, settings=settings, trained=whole)
    network = found.network
    _fit(network, images, SECOND, seed, task.flips)
    return network


def _magnitude(task: ImageClassification, images: Images, seed: int) -> ResidualNetwork:
    network = ResidualNetwork(SHAPE)
    _fit(network, images, FIRST, seed, task.flips)
    sizes: dict[str, Tensor] = {}
    for name, convolution in network.convolutions().items():
        size = convolution.weights.weight.detach().abs().mean((1, 2, 3))
        sizes[name] = size / size.mean()
    pruned = prune(network, channels_for(SHAPE, sizes, TARGET, SIZE))
    _fit(pruned, images, SEARCH + SECOND, seed, task.flips)
    return pruned


def _uniform(task: ImageClassification, images: Images, seed: int) -> ResidualNetwork:
    allowed = TARGET * flops(SHAPE, SHAPE.all_channels(), SIZE)
    fitting = [s for s in map(_narrowed, np.arange(0.3, 1, 0.01)) if _cost(s) <= allowed]
    network = ResidualNetwork(max(fitting, key=_cost))
    _fit(network, images, ALL, seed, task.flips)
    return network


def _narrowed(factor: float) -> ResidualShape:
    return replace(SHAPE, widths=tuple(round(factor * width) for width in SHAPE.widths))


def _cost(shape: ResidualShape) -> int:
    return flops(shape, shape.all_channels(), SIZE)


_METHODS = {"whole": _whole, "rarts": _rarts, "magnitude": _magnitude, "uniform": _uniform}


def run(args: argparse.Namespace, result: Result) -> None:
    """Train with every method and seed."""
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    task = load_task("fashion-mnist", args.data_root)
    assert isinstance(task, ImageClassification)
    means = {}
    for method in METHODS:
        runs = [
            accuracy(method, task, seed, args.work) for seed in range(FRESH, FRESH + args.seeds)
        ]
        summary = Summary.of([r["accuracy"] for r in runs])
        means[method] = summary.mean
        row = {"task": "fashion-mnist", "method": method, "seeds": args.seeds, **summary.row()}
        row["flops_share"] = round(float(np.mean([r["flops_share"] for r in runs])), 3)
        result.rows.append(
            {**row, "cpu_s_seed": round(float(np.mean([r["seconds"] for r in runs])), 1)}
        )
    lost = means["whole"] - means["rarts"]
    result.claim("rarts: points lost at half the FLOPs", lost, LOSS_BAR, "lower")
    for rival in ("magnitude", "uniform"):
        name = f"rarts at least as good as {rival}"
        result.claim(name, means["rarts"], means[rival], "higher")
