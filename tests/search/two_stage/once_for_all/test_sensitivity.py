"""Predicted losses of single steps."""

from __future__ import annotations

import numpy as np

from bequest.search.two_stage.once_for_all.sensitivity import learn
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks


def score(networks: Networks) -> np.ndarray:
    """Channels, kernels and depth help; bits of the first block matter most."""
    there = networks.there
    weight = np.linspace(3, 1, there.shape[1])
    good = networks.channels / 4 + networks.kernel / 3 + 1 - 0.3 * (2 - networks.bits).sum(2)
    return np.asarray((good * weight * there).sum(1))


SENSITIVITY = learn(SMALL, score, np.random.default_rng(0))


def test_sensitivity_knows_what_the_predictor_minds() -> None:
    assert (SENSITIVITY.bits > 0).all()
    assert SENSITIVITY.bits[0, 0, 1] > SENSITIVITY.bits[-1, 0, 1]
    assert SENSITIVITY.channels[0] > SENSITIVITY.channels[-1]
    assert SENSITIVITY.kernel[0] > SENSITIVITY.kernel[-1]
