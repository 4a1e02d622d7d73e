"""Predicted losses of single steps."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.search.two_stage.once_for_all.sensitivity import FLOOR, learn
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


def additive(networks: Networks) -> np.ndarray:
    """Every gene of block b adds b + 1 (kernels twice, bits by role) a level; levels add up."""
    worth = np.arange(1, networks.kernel.shape[1] + 1)
    genes = networks.channels + 2 * networks.kernel + networks.bits @ [0.1, 0.2, 0.3, 0.4]
    return np.asarray((genes * worth * networks.there).sum(1))


def test_losses_of_steps_are_exact_where_scores_add_up() -> None:
    learned = learn(SMALL, additive, np.random.default_rng(1), count=4)
    worth = np.arange(1, len(learned.channels) + 1)
    np.testing.assert_allclose(learned.channels, worth)
    np.testing.assert_allclose(learned.kernel, 2 * worth)
    expected = worth[:, None] * np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(learned.bits[:, :3, 1], expected[:, :3], atol=1e-9)
    np.testing.assert_allclose(learned.bits[:, :3, 2], expected[:, :3], atol=1e-9)
    typical = np.abs(learned.bits[:, :, 1:]).mean() * 2 / 3
    assert learned.bits[:, :, 0] == pytest.approx(
        np.full((len(worth), 4), FLOOR * typical), rel=0.1
    )


def test_the_loss_of_a_block_is_that_of_a_stages_last() -> None:
    learned = learn(SMALL, lambda n: n.depth @ np.array([5.0, 7.0, 9.0]), np.random.default_rng(1))
    assert learned.depth[:2] == pytest.approx([5, 7])
    assert learned.depth[2] < 1, "a stage of one block keeps it: there is no step"
    assert (learned.channels > 0).all(), "what loses nothing has a floor, for ratios"


def test_gains_by_shrinking_are_not_believed() -> None:
    learned = learn(SMALL, lambda networks: -additive(networks), np.random.default_rng(1))
    assert (learned.channels > 0).all()
    assert (learned.bits > 0).all()
