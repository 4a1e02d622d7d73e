"""Width search: exact zeros, the FLOPs target, what is left trains."""

from __future__ import annotations

import pytest
import torch

from bequest.common.errors import ConfigurationError
from bequest.evaluators.image.residual import ResidualNetwork, ResidualShape, flops
from bequest.evaluators.image.supernet import ImageHalves
from bequest.evaluators.image.tasks import ImageClassification
from bequest.evaluators.seeding import seeded
from bequest.search.two_stage.one_shot.optimiser import OptimiserSettings
from bequest.search.two_stage.one_shot.rarts import Coupling, Rarts
from bequest.search.two_stage.one_shot.width import (
    GatedNetwork,
    WidthSettings,
    channels_for,
    search_widths,
)

SHAPE = ResidualShape(1, 10, widths=(4, 8))


def importances(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {n: torch.full((len(c),), value) for n, c in SHAPE.all_channels().items()}


@pytest.mark.parametrize("target", [0.3, 0.5, 0.9])
def test_the_target_is_met_and_not_by_more_than_one_channel(target: float) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = {n: torch.rand(len(v), generator=generator) for n, v in importances().items()}
    kept = channels_for(SHAPE, drawn, target, 8)
    whole = flops(SHAPE, SHAPE.all_channels(), 8)
    assert flops(SHAPE, kept, 8) <= target * whole
    gone = [
        (float(drawn[n][c]), n, c)
        for n, channels in SHAPE.all_channels().items()
        for c in channels
        if c not in kept[n]
    ]
    _, name, channel = max(gone)  # with the most important of what went, it would be missed
    more = {**kept, name: sorted([*kept[name], channel])}
    assert flops(SHAPE, more, 8) > target * whole


def test_unimportant_channels_go_first_and_no_convolution_is_cut() -> None:
    importance = importances()
    importance["block1_0_first"] = torch.linspace(0.001, 0.002, 8)
    kept = channels_for(SHAPE, importance, 0.7, 8)
    assert kept["block1_0_first"] == [6, 7]
    assert all(len(kept[n]) >= len(c) / 4 for n, c in SHAPE.all_channels().items())


def test_gates_are_not_decayed_and_move_by_plain_descent() -> None:
    """The L1 penalty alone drives them to zero; the proximal step wants plain gradients."""
    settings = WidthSettings().optimiser
    assert (settings.alpha_decay, settings.alpha_optimizer) == (0.0, "sgd")
    assert (settings.weights, settings.alpha) == (0.02, 0.02)


def test_a_target_that_nothing_meets() -> None:
    with pytest.raises(ConfigurationError, match="target of 0.001 is less than 0.25 of each"):
        channels_for(SHAPE, importances(), 0.001, 8)


def test_a_trained_network_is_taken_on_as_it_is() -> None:
    torch.manual_seed(0)
    trained = ResidualNetwork(SHAPE)
    for convolution in trained.convolutions().values():
        torch.nn.init.uniform_(convolution.norm.weight, -1.5, 1.5)
        torch.nn.init.uniform_(convolution.norm.bias, -1.0, 1.0)
    problem = GatedNetwork(SHAPE)
    alpha = problem.begin_with(trained)
    x = torch.randn(6, 1, 8, 8)
    scores = problem.flat(problem.flat.weights(), x, problem.gates(alpha))
    assert torch.allclose(scores, trained.train()(x), atol=1e-4)


def test_a_search_drives_gates_to_exact_zeros_and_repeats_itself(
    digits: ImageClassification,
) -> None:
    train, validation = digits.parts(0, images=400)["train"].halves(0)
    halves = ImageHalves(train, validation, seed=0, batch_size=32)
    settings = WidthSettings(epochs=4, penalty=2.55)
    found = search_widths(SHAPE, halves, 0.5, seed=0, settings=settings)
    values = torch.cat(list(found.gates.values()))
    assert (values == 0).any()
    assert (values != 0).any()
    assert found.flops_share <= 0.5
    again = search_widths(SHAPE, halves, 0.5, seed=0, settings=settings)
    assert torch.equal(torch.cat(list(again.gates.values())), values)
    assert again.kept == found.kept


def test_a_search_is_rarts_with_a_proximal_step_after_each(digits: ImageClassification) -> None:
    """The same steps written down: rates by a cosine, soft thresholds of rate times penalty."""
    train, validation = digits.parts(0, images=120)["train"].halves(0)
    halves = ImageHalves(train, validation, seed=0, batch_size=32)
    moved = OptimiserSettings(weights=0.05, alpha=0.1, alpha_decay=0.0, alpha_optimizer="sgd")
    coupling = Coupling(lam=0.7, beta=0.3)
    settings = WidthSettings(epochs=3, penalty=0.4, optimiser=moved, coupling=coupling)
    found = search_widths(SHAPE, halves, 0.6, seed=4, settings=settings)
    with seeded(4):
        problem = GatedNetwork(SHAPE)
    alpha = torch.ones(sum(problem.channels.values()))
    optimiser = Rarts(problem, problem.flat.weights(), alpha, moved, coupling=coupling)
    for epoch, rate in enumerate((0.05, 0.05 * 0.75, 0.05 * 0.25)):
        optimiser.set_rate(rate)
        for batches in halves.batches(epoch):
            optimiser.step(*batches)
            gates = optimiser.alpha.detach()
            shrunk = gates.sign() * (gates.abs() - 0.1 * 0.4).clamp(min=0)
            optimiser.optimisers["alpha"].value.data.copy_(shrunk)
    expected = optimiser.alpha.detach()
    assert torch.allclose(torch.cat(list(found.gates.values())), expected, atol=1e-5)
    by_layer = problem.gates(expected)
    relative = {name: g.abs() / g.abs().mean() for name, g in by_layer.items()}
    assert found.kept == channels_for(SHAPE, relative, 0.6, 8)
    whole = flops(SHAPE, SHAPE.all_channels(), 8)
    assert found.flops_share == pytest.approx(flops(SHAPE, found.kept, 8) / whole)
