"""Numbers that describe a task: its classes, and how the frozen backbone sees them.

Nothing is trained but a probe; the validation and test parts are not looked at.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .network import solve_probe


def class_statistics(labels: Tensor, features: Tensor, classes: int) -> dict[str, float]:
    """What can be said whatever the examples are, all of the order of 1.

    Args:
        labels: Of the training examples, ``[n]``.
        features: The frozen backbone's, ``[n, D]``.
        classes: How many there are.

    Returns:
        ``log_examples`` and ``log_classes``: in powers of ten; ``class_entropy``: over its maximum;
        ``effective_rank``: the participation ratio of the features' spectrum over D;
        ``between_classes``: the share of the features' variance between classes; ``probe_lift``:
        the accuracy of a probe across two halves, as a share of what the majority leaves;
        ``probe_loss``: its loss over that of guessing.
    """
    shares = np.bincount(labels.numpy(), minlength=classes) / len(labels)
    present = shares[shares > 0]
    centred = (features - features.mean(dim=0)).double()
    spectrum = torch.linalg.svdvals(centred).square()
    rank = float(spectrum.sum() ** 2 / spectrum.square().sum()) / features.shape[1]
    accuracy, loss = _across_halves(features, labels, classes)
    majority = shares.max()
    statistics = {
        "log_examples": np.log10(len(labels)),
        "log_classes": np.log10(classes),
        "class_entropy": -(present * np.log(present)).sum() / np.log(classes),
        "effective_rank": rank,
        "between_classes": _between(centred, labels),
        "probe_lift": (accuracy - majority) / (1 - majority),
        "probe_loss": loss / np.log(classes),
    }
    return {name: float(value) for name, value in statistics.items()}


def _between(centred: Tensor, labels: Tensor) -> float:
    """The share of the variance that the classes' means have."""
    means = [centred[labels == c].mean(dim=0) for c in torch.unique(labels)]
    sizes = [int((labels == c).sum()) for c in torch.unique(labels)]
    between = sum(n * float(m.square().sum()) for n, m in zip(sizes, means, strict=True))
    return between / float(centred.square().sum())


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
