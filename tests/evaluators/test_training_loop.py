"""The training loop: what a step does, how a training is watched, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bequest.common.errors import EvaluationError
from bequest.evaluators.training_loop import (
    TrainingLoop,
    Validation,
    cosine,
    trainable,
    warm_up_and_decay,
)


def line(weight: float = 1.0) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, weight)
    return network


def make_loop(network: nn.Linear, rate: float = 0.1, **options: Any) -> TrainingLoop[Any]:
    """Gradient descent on ``w b``: the gradient is the batch ``b`` itself."""
    optimizer = torch.optim.SGD(network.parameters(), rate)

    def loss(batch: float) -> Tensor:
        return network.weight.sum() * batch

    return TrainingLoop(network, optimizer, loss, rate=rate, **options)


def weight_of(loop: TrainingLoop[Any]) -> float:
    return next(loop.network.parameters()).item()


def moves(loop: TrainingLoop[Any], batches: list[float]) -> list[float]:
    """By how much each step moves the weight."""
    weights = [weight_of(loop)]
    for batch in batches:
        loop.epoch(1, [batch])
        weights.append(weight_of(loop))
    return [round(after - before, 6) for before, after in pairwise(weights)]


def test_each_step_takes_one_batch() -> None:
    loop = make_loop(line())
    assert loop.epoch(1, [1.0, 2.0]) == pytest.approx([1.0, 1.8])  # losses before each step
    assert weight_of(loop) == pytest.approx(0.7)
    assert loop.done == 2
    assert loop.last_loss == pytest.approx(1.8)


def test_gradients_are_clipped_to_the_bound_and_no_smaller_ones() -> None:
    assert moves(make_loop(line(), clip=2.0), [1.0, 8.0]) == [-0.1, -0.2]
    assert moves(make_loop(line()), [8.0]) == [-0.8]
    network, other = line(), line()
    other.weight.grad = torch.zeros(1, 1)
    only_other = make_loop(network, clip=2.0, clipped=list(other.parameters()))
    assert moves(only_other, [8.0]) == [-0.8]


def test_learning_rates_are_set_before_each_step() -> None:
    def before_step(done: int) -> None:
        loop.optimizer.param_groups[0]["lr"] = 0.1 / (1 + done)

    loop = make_loop(line(), before_step=before_step)
    assert moves(loop, [1.0, 1.0]) == [-0.1, -0.05]


def test_parts_of_a_batch_add_up_by_their_shares() -> None:
    loop = make_loop(line(), split=lambda b: [(0.25, b), (0.75, 3 * b)])
    assert loop.epoch(1, [1.0]) == pytest.approx([0.25 + 0.75 * 3])
    assert weight_of(loop) == pytest.approx(1 - 0.1 * 2.5)


def test_a_penalty_moves_the_weight_and_is_not_reported() -> None:
    network = line()
    loop = make_loop(network, penalty=lambda: 2 * network.weight.sum())
    assert loop.epoch(1, [1.0]) == pytest.approx([1.0])
    assert network.weight.item() == pytest.approx(1 - 0.1 * 3)


def test_gradients_can_be_changed_before_they_are_clipped() -> None:
    network = line()

    def tenfold(batch: float) -> None:
        assert network.weight.grad is not None
        network.weight.grad *= 10 * batch

    assert moves(make_loop(network, clip=3.0, after_backward=tenfold), [1.0]) == [-0.3]


# Watching -----------------------------------------------------------------------------------------


def watched(metrics: list[float], epochs: int, **options: Any) -> tuple[Any, list[Any], nn.Linear]:
    """Train with given validation metrics; the result, what was reported, and the network."""
    network, reports = line(0.0), []
    left: Iterator[float] = iter(metrics)

    def score() -> tuple[float, float]:
        assert not network.training
        assert not torch.is_grad_enabled()
        return next(left), 0.0

    validation = Validation(score, lambda epoch, m: reports.append((epoch, m)), **options)
    loop = make_loop(network, rate=1.0)
    result = loop.run(epochs, lambda epoch: [-1.0], validation=validation)  # w counts epochs
    return result, reports, network


def test_the_best_epoch_is_restored_after_patience_runs_out() -> None:
    result, reports, network = watched([0.1, 0.5, 0.4, 0.4, 0.9], 5, patience=2)
    assert (result.best_epoch, result.epochs) == (2, 4)
    assert reports == [(1, 0.1), (2, 0.5), (3, 0.4), (4, 0.4)]
    assert network.weight.item() == 2.0
    assert not network.training


def test_without_patience_the_last_weights_stay() -> None:
    result, reports, network = watched([0.5, 0.1, 0.2], 3)
    assert (result.best_epoch, result.epochs) == (3, 3)
    assert [epoch for epoch, _ in reports] == [1, 2, 3]
    assert network.weight.item() == 3.0


def test_the_last_epoch_is_looked_at_whatever_it_is() -> None:
    _, reports, _ = watched([0.1, 0.2, 0.3], 5, every=2)
    assert [epoch for epoch, _ in reports] == [2, 4, 5]


def test_a_lower_loss_decides_between_equal_metrics_if_it_is_finite() -> None:
    def best(losses: list[float]) -> int:
        pairs = iter([(0.5, loss) for loss in losses])
        validation = Validation(lambda: next(pairs), patience=9)
        loop = make_loop(line(), rate=0.01)
        return loop.run(len(losses), lambda _: [1.0], validation=validation).best_epoch

    assert best([0.3, 0.2, 0.4]) == 2
    assert best([math.inf, 0.2, math.nan]) == 2
    assert best([0.2, math.nan]) == 1


def test_what_a_report_raises_ends_the_training() -> None:
    def prune(epoch: int, metric: float) -> None:
        raise KeyError(epoch)

    validation = Validation(lambda: (0.0, 0.0), prune)
    with pytest.raises(KeyError, match="1"):
        make_loop(line()).run(3, lambda epoch: [1.0], validation=validation)


# Ending -------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_the_training_before_the_step() -> None:
    network = line()
    loop = make_loop(network, rate=0.25, name="the network")
    with pytest.raises(
        EvaluationError, match="the network diverged in epoch 2: a learning_rate below 0.25 may"
    ):
        loop.run(3, lambda epoch: [0.0 if epoch < 2 else math.nan])
    assert network.weight.item() == 1.0


def test_ruined_weights_are_noticed() -> None:
    loop = make_loop(line(math.inf))
    with pytest.raises(EvaluationError, match="diverged in epoch 4"):
        loop.check_weights(4)


def test_memory_counts_what_the_first_step_saves() -> None:
    network = nn.Sequential(nn.Linear(3, 5, bias=False), nn.Linear(5, 2, bias=False))
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)

    def loss(x: Tensor) -> Tensor:
        return network(x).sum()

    result = TrainingLoop(network, optimizer, loss, rate=0.1).run(1, lambda _: [torch.ones(7, 3)])
    weights = 4 * (15 + 10)
    activations = 4 * (7 * 3 + 7 * 5)
    assert result.peak_memory_bytes == 2 * weights + weights + activations


def test_schedules_by_hand() -> None:
    assert [cosine(done, 4) for done in range(5)] == pytest.approx(
        [1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0.0]
    )
    shares = [warm_up_and_decay(done, 10, 0.2) for done in range(10)]
    assert shares == pytest.approx([0.5, 1.0, *(left / 8 for left in range(8, 0, -1))])
    assert warm_up_and_decay(0, 5, 0.01) == 1.0  # one step at least rises


def test_lack_of_memory_is_explained() -> None:
    def fail(error: Exception) -> None:
        with trainable(torch.device("cpu"), 0):
            raise error

    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):
        with pytest.raises(EvaluationError, match="out of memory on cpu: a smaller width may help"):
            fail(error)
    with pytest.raises(RuntimeError, match="another"):
        fail(RuntimeError("another"))
