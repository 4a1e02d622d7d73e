"""Progressive shrinking, one step at a time by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bequest.common.errors import EvaluationError
from bequest.evaluators.image.tasks import Images
from bequest.evaluators.once_for_all import training
from bequest.evaluators.once_for_all.network import Cut, OnceForAll
from bequest.evaluators.once_for_all.training import ProgressiveShrinking, Shrinking, drawn
from bequest.spaces.elastic import Geometry
from tests.evaluators.steps import HandSgd, record_rates

TINY = Geometry(4, (8, 16, 24), (3, 1), (2, 1))
COUNT = 16


def images(scale: float = 1.0) -> Images:
    """Of 7 x 7 pixels: too small to be shifted, so that one batch of all is always the same."""
    generator = torch.Generator().manual_seed(0)
    return Images(scale * torch.randn(COUNT, 1, 7, 7, generator=generator), torch.arange(COUNT) % 4)


def shrinking(settings: Shrinking) -> ProgressiveShrinking:
    return ProgressiveShrinking(TINY, images(), 4, settings, seed=0, flips=False)


def decay_of(name: str, parameter: Tensor, decay: float) -> float:
    return 0.0 if parameter.ndim == 1 or name.startswith("smaller") else decay


def one_step(
    network: OnceForAll, sgd: HandSgd, loss: Tensor, rate: float, weight_decay: float
) -> None:
    """Move a network's weights as the optimiser should."""
    named = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    present = [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(named.values(), gradients, strict=True)
    ]
    decays = [decay_of(name, p, weight_decay) for name, p in named.items()]
    # What a loss does not reach has no gradient: the optimiser leaves it alone, decay and all.
    decays = [0.0 if g is None else d for g, d in zip(gradients, decays, strict=True)]
    moved = sgd.step([p.detach() for p in named.values()], present, rate, decays)
    with torch.no_grad():
        for parameter, value in zip(named.values(), moved, strict=True):
            parameter.copy_(value)


@pytest.mark.parametrize("distillation", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_two_phases_of_one_step_by_hand(distillation: float, decay: float) -> None:
    settings = Shrinking(
        epochs=(1, 1, 0, 0),
        rates=(0.1, 0.04, 0.0, 0.0),
        batch_size=COUNT,
        weight_decay=decay,
        distillation=distillation,
    )
    ours = shrinking(settings)
    hand = copy.deepcopy(ours.network)
    ours.run()

    data, sgd = images(), HandSgd(0.9, nesterov=True, clip=5.0)
    cut = next(drawn(TINY, 0, np.random.default_rng([0, 0])))
    one_step(hand, sgd, functional.cross_entropy(hand(data.x, cut), data.y), 0.1, decay)
    teacher = copy.deepcopy(hand)
    cut = next(drawn(TINY, 1, np.random.default_rng([0, 1])))
    scores = hand(data.x, cut)
    soft_labels = teacher(data.x).softmax(1).detach()
    loss = functional.cross_entropy(scores, data.y)
    loss = loss - distillation * (soft_labels * scores.log_softmax(1)).sum(1).mean()
    one_step(hand, sgd, loss, 0.04, decay)
    for (name, expected), parameter in zip(
        hand.named_parameters(), ours.network.parameters(), strict=True
    ):
        assert torch.allclose(parameter, expected, atol=2e-4), name


def test_each_phase_has_a_cosine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = record_rates(
        monkeypatch,
        "bequest.evaluators.once_for_all.training.make_optimizer",
        training.make_optimizer,
    )
    settings = Shrinking(epochs=(2, 1, 0, 1), rates=(0.1, 0.04, 9.0, 0.05), batch_size=COUNT // 2)
    shrinking(settings).run()

    def falling(rate: float, steps: int) -> list[float]:
        return [rate * (1 + math.cos(math.pi * done / steps)) / 2 for done in range(steps)]

    expected = falling(0.1, 4) + falling(0.04, 2) + falling(0.05, 2)
    assert [step[0] for step in rates] == pytest.approx(expected)
    assert all(first == other for first, other in rates)


def test_what_is_elastic_in_each_phase() -> None:
    def drawn_in(phase: int) -> list[Cut]:
        cuts = drawn(TINY, phase, np.random.default_rng(0))
        return [next(cuts) for _ in range(40)]

    largest = Cut.largest(TINY)
    assert all(cut == largest for cut in drawn_in(0))
    kernels = drawn_in(1)
    assert {k for cut in kernels for k in cut.kernels} == {3, 5, 7}
    assert all((cut.blocks, cut.channels) == (largest.blocks, largest.channels) for cut in kernels)
    depths = drawn_in(2)
    assert {len(cut.blocks) for cut in depths} == {3, 4}
    widest = dict(zip(largest.blocks, largest.channels, strict=True))
    assert all(
        c == widest[b] for cut in depths for b, c in zip(cut.blocks, cut.channels, strict=True)
    )
    narrow = drawn_in(3)
    assert any(
        c < widest[b] for cut in narrow for b, c in zip(cut.blocks, cut.channels, strict=True)
    )


def test_the_teacher_is_the_largest_network_as_it_was_before_shrinking() -> None:
    once = Shrinking(epochs=(1, 0, 0, 0), batch_size=COUNT)
    before = shrinking(once)
    before.run()
    after = shrinking(Shrinking(epochs=(1, 1, 1, 1), batch_size=COUNT))
    after.run()
    teacher = after._teacher.state_dict()
    assert all(torch.equal(teacher[k], v) for k, v in before.network.state_dict().items())


def test_a_training_that_diverges_says_in_which_phase() -> None:
    settings = Shrinking(epochs=(1, 1, 0, 0), rates=(0.1, math.inf, 0.1, 0.1), batch_size=4)
    with pytest.raises(
        EvaluationError, match=r"once-for-all network \(kernels\) diverged in epoch 2"
    ):
        shrinking(settings).run()
