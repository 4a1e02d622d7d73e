"""Training, validation and test parts of a task's examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor


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
    index = np.arange(len(labels))
    y = labels.numpy()
    train, rest = train_test_split(index, test_size=0.4, random_state=seed, stratify=_strata(y))
    validation, test = train_test_split(
        rest, test_size=0.5, random_state=seed, stratify=_strata(y[rest])
    )
    return Split(*(torch.from_numpy(np.sort(part)) for part in (train, validation, test)))


def _strata(y: np.ndarray) -> np.ndarray | None:
    """Classes too small to be split are pooled; one example alone joins the rarest class."""
    counts = np.bincount(y)
    strata = np.where(counts[y] < 2, -1, y)
    if (strata == -1).sum() == 1 and counts.max() > 1:
        strata = np.where(strata == -1, np.where(counts < 2, len(y), counts).argmin(), strata)
    _, sizes = np.unique(strata, return_counts=True)
    return strata if sizes.min() >= 2 else None
