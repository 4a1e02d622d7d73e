"""Operations whose removal matters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bequest.evaluators.supernet import Supernet
from bequest.search.two_stage.one_shot.removal import removal_strengths

MakeSupernet = Callable[..., Supernet]


def test_removal_finds_the_operation_that_the_network_lives_on(make_supernet: MakeSupernet) -> None:
    """Without the convolution on the only open way nothing is left, whatever its alpha."""
    supernet = make_supernet()
    relaxation = supernet.relaxation
    weights, alpha = supernet.start(0)
    closed = {name: [9.0, -9, -9, -9, -9] for name in relaxation.decisions}  # "none" rules
    closed["e03"] = [-9.0, -9, -9, 0.0, -9]
    closed["e01"] = [9.0, -9, -9, 8.9, -9]
    alpha = torch.tensor([v for values in closed.values() for v in values])
    weights.requires_grad_()
    optimizer = torch.optim.Adam([weights], 0.01)
    for epoch in range(6):
        for train, _ in supernet.halves.batches(epoch):
            optimizer.zero_grad()
            supernet.train_loss(weights, alpha, train).backward()
            optimizer.step()
    strengths = removal_strengths(supernet, weights.detach(), alpha)
    assert relaxation.decisions["e03"][int(np.argmax(strengths["e03"]))] == "nor_conv_3x3"
    assert strengths["e03"].max() > 0.2
    assert max(abs(strengths["e12"])) < 0.05
