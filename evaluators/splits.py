"""Training, validation and test parts of a task's examples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from ..common.errors import DataError


@dataclass(frozen=True)
class Split:
    """Indices of nodes or graphs: int64 tensors, disjoint."""

    train: Tensor
    validation: Tensor
    test: Tensor


def stratified_split(labels: Tensor, seed: int) -> Split:
    """60/20/20, with the classes' shares kept as far as they can be.

    Args:
        labels: ``[n]`` int64.
        seed: Decides the split.
    """
    y = labels.numpy()
    train, rest = _divided(y, math.ceil(0.4 * len(y)), seed)
    validation, test = _divided(y[rest], math.ceil(0.5 * len(rest)), seed)
    parts = (train, rest[validation], rest[test])
    return Split(*(torch.from_numpy(np.sort(part)) for part in parts))


def hold_out(y: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rest and of ``count`` held out, classes' shares kept as far as they can be.

    An example that is its class's only one stays in the rest, which is learned from.

    Args:
        y: Classes ``[n]`` int64.
        count: How many are held out; fewer where too many are their class's only ones.
        seed: Decides which.
    """
    free, alone = _alone(y)
    if not len(alone):
        rest, held_out = _divided(y, count, seed)
    elif len(free) <= count:
        rest, held_out = alone, free
    else:
        left, drawn = _divided(y[free], count, seed)
        rest, held_out = np.concatenate([free[left], alone]), free[drawn]
    return np.sort(rest), np.sort(held_out)


def some_of(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of ``count`` examples, classes' shares kept; a class's only example is among them."""
    free, alone = _alone(y)
    if len(alone) >= count:
        return alone[:count]
    drawn = free if len(y) <= count else free[_divided(y[free], count - len(alone), seed)[1]]
    return np.sort(np.concatenate([drawn, alone]))


def check_numbering(y: np.ndarray, name: str) -> None:
    """Check that labels are small numbers: networks have an output for each up to the largest.

    Raises:
        DataError: Most numbers below the largest one do not occur.
    """
    present = len(np.unique(y))
    if int(y.max()) >= 10 * present + 1000:
        raise DataError(
            f"task {name!r} has {present} classes, numbered up to {int(y.max())}: number them from "
            f"0 to {present - 1}, for example by numpy.unique(labels, return_inverse=True)"
        )


def _alone(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the examples with others of their class, and of those without."""
    alone = np.bincount(y)[y] < 2
    return np.flatnonzero(~alone), np.flatnonzero(alone)


def _divided(y: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rest and of ``count`` drawn."""
    strata = _strata(y, min(count, len(y) - count))
    index = np.arange(len(y))
    rest, drawn = train_test_split(index, test_size=count, random_state=seed, stratify=strata)
    return rest, drawn


def _strata(y: np.ndarray, least: int) -> np.ndarray | None:
    """Classes too small to be divided are pooled; one example alone joins the rarest class.

    ``None`` where the smaller part, of ``least`` examples, cannot have one of each.
    """
    counts = np.bincount(y)
    strata = np.where(counts[y] < 2, -1, y)
    if (strata == -1).sum() == 1 and counts.max() > 1:
        strata = np.where(strata == -1, np.where(counts < 2, len(y), counts).argmin(), strata)
    _, sizes = np.unique(strata, return_counts=True)
    return strata if sizes.min() >= 2 and len(sizes) <= least else None
