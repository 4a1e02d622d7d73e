"""A fingerprint of a task of texts: plain facts, and how the frozen backbone sees its classes.

Nothing is trained but a probe; the validation and test parts are not looked at.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .batches import Tokens
from .network import solve_probe

NAMES = (
    "log_examples",
    "log_classes",
    "class_entropy",
    "pairs",
    "log_length",
    "length_spread",
    "effective_rank",
    "between_classes",
    "probe_lift",
    "probe_loss",
)
"""What each number is; see `text_statistics`."""


def text_statistics(tokens: Tokens, features: Tensor, classes: int) -> dict[str, float]:
    """Numbers that describe a task, all of the order of 1.

    Args:
        tokens: The training texts.
        features: The frozen backbone's, ``[n, D]``.
        classes: How many there are.

    Returns:
        By `NAMES`: sizes in powers of ten; the entropy of the classes over its maximum; lengths in
        tokens; the participation ratio of the features' spectrum over D; the share of the features'
        variance between classes; the accuracy of a probe across two halves, as a share of what the
        majority leaves; its loss over that of guessing.
    """
    labels = tokens.labels
    shares = np.bincount(labels.numpy(), minlength=classes) / len(tokens)
    held = shares[shares > 0]
    lengths = np.array([len(row) for row in tokens.rows], dtype=float)
    centred = (features - features.mean(dim=0)).double()
    spectrum = torch.linalg.svdvals(centred).square()
    rank = float(spectrum.sum() ** 2 / spectrum.square().sum()) / features.shape[1]
    accuracy, loss = _across_halves(features, labels, classes)
    majority = shares.max()
    values = (
        np.log10(len(tokens)),
        np.log10(classes),
        -(held * np.log(held)).sum() / np.log(classes),
        float(tokens.pairs),
        np.log10(lengths.mean()),
        lengths.std() / lengths.mean(),
        rank,
        _between(centred, labels),
        (accuracy - majority) / (1 - majority),
        loss / np.log(classes),
    )
    return {name: float(value) for name, value in zip(NAMES, values, strict=True)}


def _between(centred: Tensor, labels: Tensor) -> float:
    """The share of the variance that the classes' means have."""
    means = [centred[labels == c].mean(dim=0) for c in torch.unique(labels)]
    sizes = [int((labels == c).sum()) for c in torch.unique(labels)]
    found = sum(n * float(m.square().sum()) for n, m in zip(sizes, means, strict=True))
    return found / float(centred.square().sum())


def _across_halves(features: Tensor, labels: Tensor, classes: int) -> tuple[float, float]:
    """(accuracy, loss) of probes, each judged on the half that it has not seen."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    halves = list(order.chunk(2))
    accuracy, loss = [], []
    for train, test in pairwise([*halves, halves[0]]):
        weight, bias = solve_probe(features[train], labels[train], classes)
        logits = features[test] @ weight.T + bias
        accuracy.append(float((logits.argmax(1) == labels[test]).float().mean()))
        loss.append(float(torch.nn.functional.cross_entropy(logits, labels[test])))
    return float(np.mean(accuracy)), float(np.mean(loss))
