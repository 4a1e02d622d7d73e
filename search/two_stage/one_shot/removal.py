"""The importance of operations: how much their removal costs the supernet.

Source: Wang et al., *Rethinking Architecture Selection in Differentiable NAS* (DARTS-PT), ICLR
2021: the largest alpha need not belong to the operation that the supernet relies on.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ....evaluators.supernet import Supernet
from ....spaces.relaxation import Pick


def removal_strengths(supernet: Supernet, weights: Tensor, alpha: Tensor) -> dict[str, np.ndarray]:
    """The validation loss that the removal of each option adds, ``[options]`` by decision.

    Decision after decision: once measured, it keeps its strongest option alone, so that later ones
    are measured in a network that is discrete up to there.

    Args:
        supernet: With its validation half.
        weights: Those that learned from it, ``[n]``.
        alpha: ``[m]``.
    """
    strengths: dict[str, np.ndarray] = {}
    gone: set[Pick] = set()
    for name, options in supernet.relaxation.decisions.items():
        whole, _ = supernet.judge(weights, alpha, gone)
        losses = [supernet.judge(weights, alpha, gone | {(name, o)})[0] for o in options]
        strengths[name] = np.array(losses) - whole
        best = options[int(np.argmax(strengths[name]))]
        gone |= {(name, option) for option in options if option != best}
    return strengths
