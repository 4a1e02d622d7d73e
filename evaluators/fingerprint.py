"""Fingerprints: a task described by how a few fixed designs, the anchors, see it.

Achille et al., *Task2Vec* (ICCV 2019), in the form of Cao et al., *AutoTransfer* (ICLR 2023): for
each anchor one number that says how unevenly the Fisher information of an untrained network is
spread over its weights. Nothing here knows the kind of task; a kind adds its networks and its data
(`graph_fingerprint`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..spaces import Config
from .task import Task

TaskT = TypeVar("TaskT", bound=Task, contravariant=True)


class Fingerprinter(Protocol[TaskT]):
    """Describes tasks of one kind; two descriptions by the same anchors can be compared."""

    @property
    def anchors(self) -> Sequence[Config]:
        """The designs through which every task is seen."""

    def __call__(self, task: TaskT, *, seed: int) -> np.ndarray:
        """The fingerprint of a task, ``[anchors]`` float64, finite.

        On a CPU a pure function of (task, anchors, seed). It never looks at the test split.

        Args:
            task: What is described.
            seed: Decides split, initialisations and draws.
        """


def squared_gradients(
    losses: Callable[[], Tensor], weights: Sequence[Tensor], *, draws: int
) -> Tensor:
    """The mean over samples of the squared gradient of each sample's loss, estimated.

    One backward pass of ``sum_i e_i loss_i`` with random signs ``e_i``, squared, has the sum of the
    squared gradients as its expectation: mixed terms cancel. A loop over samples would take a pass
    for each.

    Args:
        losses: Gives the losses ``[samples]``; called for each draw, as labels may be drawn, too.
        weights: What is derived by; one that the losses do not depend on is left out.
        draws: Over how many draws of signs the estimate is averaged.

    Returns:
        ``[numbers in the weights]``, float64.
    """
    total: Tensor | float = 0.0
    for _ in range(draws):
        values = losses()
        signs = torch.randint(0, 2, values.shape).to(values) * 2 - 1
        gradients = torch.autograd.grad(
            (signs * values).sum(), list(weights), retain_graph=True, allow_unused=True
        )
        flat = torch.cat([g.flatten() for g in gradients if g is not None]).double()
        total = total + flat.square() / (len(values) * draws)
    assert isinstance(total, Tensor)
    return total


def log_kappa(fisher: Tensor) -> float:
    """``log(mean(F^2) / mean(F)^2)``: 0 for evenly spread information, free of the loss's scale.

    Args:
        fisher: ``[weights]``, not negative.

    Returns:
        Between 0 and the log of the number of weights; NaN where there is no information, or where
        it is not finite.
    """
    largest = float(fisher.max())
    if largest == 0 or not math.isfinite(largest):
        return math.nan
    scaled = fisher.double() / largest
    return math.log(float(scaled.square().mean()) / float(scaled.mean()) ** 2)
