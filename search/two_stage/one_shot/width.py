"""Width search: a gate for each channel, driven to 0 by an L1 penalty, down to a FLOPs target.

The penalty ``mu ||alpha||_1`` enters by its proximal step ``alpha <- soft(alpha - eta g, eta mu)``,
which gives exact zeros; the rest of alpha learns as in RARTS. In the end the smallest gates of the
whole network go until the target is met, the channels are removed, and the remaining network is
trained further. Source: Xue, Qi, Xin, *RARTS*, arXiv 2008.03901 (network compression).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from ....common.errors import ConfigurationError
from ....evaluators.flat import FlatNetwork
from ....evaluators.image.residual import Kept, ResidualNetwork, ResidualShape, flops, prune
from ....evaluators.image.supernet import ImageHalves
from ....evaluators.seeding import seeded
from ....evaluators.supernet import Batch
from .optimiser import OptimiserSettings
from .rarts import Coupling, Rarts

SMALLEST = 1e-3
"""A trained scale below this begins as a gate of this size."""


@dataclass(frozen=True)
class WidthSettings:
    """How widths are searched.

    Attributes:
        epochs: Of the search, in which weights learn, too; their rate falls to 0 by a cosine.
        penalty: The weight mu of the L1 norm of the gates.
        optimiser: Gates move by plain gradient descent, which the proximal step is made for.
        coupling: RARTS' lambda and beta.
    """

    epochs: int = 5
    penalty: float = 0.02
    optimiser: OptimiserSettings = field(
        default_factory=lambda: OptimiserSettings(
            weights=0.02, alpha=0.02, alpha_decay=0.0, alpha_optimizer="sgd"
        )
    )
    coupling: Coupling = field(default_factory=Coupling)


class GatedNetwork:
    """A residual network with a gate for each channel: the problem of RARTS."""

    def __init__(self, shape: ResidualShape) -> None:
        self.network = ResidualNetwork(shape, running=False)
        self.flat = FlatNetwork(self.network)
        self.channels = {name: len(c) for name, c in shape.all_channels().items()}

    def begin_with(self, trained: ResidualNetwork) -> Tensor:
        """Start from a trained network: its weights, and its scales as the gates returned."""
        scales = []
        source = trained.convolutions()
        with torch.no_grad():
            for name, convolution in self.network.convolutions().items():
                scale, shift = source[name].affine()
                scale = torch.where(scale.abs() < SMALLEST, SMALLEST, scale)
                convolution.weights.weight.copy_(source[name].weights.weight)
                assert convolution.shift is not None
                convolution.shift.copy_(shift / scale)  # the gate multiplies it, too
                scales.append(scale)
            self.network.classifier.load_state_dict(trained.classifier.state_dict())
        return torch.cat(scales).detach()

    def train_loss(self, weights: Tensor, alpha: Tensor, batch: Batch) -> Tensor:
        scores = self.flat(weights, *batch.inputs, self.gates(alpha))
        return functional.cross_entropy(scores, batch.y)

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: Batch) -> Tensor:
        return self.train_loss(weights, alpha, batch)

    def gates(self, alpha: Tensor) -> dict[str, Tensor]:
        """``[channels]`` by convolution."""
        parts = torch.split(alpha, list(self.channels.values()))
        return dict(zip(self.channels, parts, strict=True))


@dataclass(frozen=True)
class Widths:
    """The result of a width search.

    Attributes:
        network: The pruned network, with the weights that it had in the search.
        kept: Its channels.
        gates: The gates at the end of the search ``[channels]`` by convolution.
        flops_share: Its FLOPs as a share of the whole network's.
    """

    network: ResidualNetwork
    kept: Kept
    gates: dict[str, Tensor]
    flops_share: float


def search_widths(
    shape: ResidualShape,
    halves: ImageHalves,
    target: float,
    *,
    seed: int,
    settings: WidthSettings | None = None,
    trained: ResidualNetwork | None = None,
) -> Widths:
    """Search the widths of a residual network; the pruned network is to be trained further.

    Args:
        shape: The whole network.
        halves: The data, in two halves.
        target: The share of the whole network's FLOPs that may be left, in (0, 1).
        seed: Of the first weights.
        settings: How to search.
        trained: The whole network, trained before; without it the search begins anew.

    Raises:
        ConfigurationError: No choice of channels meets the target.
    """
    settings = settings or WidthSettings()
    with seeded(seed):
        problem = GatedNetwork(shape)
    alpha = torch.ones(sum(problem.channels.values()))
    if trained is not None:
        alpha = problem.begin_with(trained)
    weights = problem.flat.weights()
    alpha = alpha.to(weights)
    optimiser = Rarts(problem, weights, alpha, settings.optimiser, coupling=settings.coupling)
    shrink = settings.optimiser.alpha * settings.penalty
    for epoch in range(settings.epochs):
        share = (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
        optimiser.set_rate(settings.optimiser.weights * share)
        for batches in halves.batches(epoch):
            optimiser.step(*batches)
            with torch.no_grad():
                optimiser.alpha.copy_(functional.softshrink(optimiser.alpha, shrink))
    gates = {k: v.detach().clone() for k, v in problem.gates(optimiser.alpha).items()}
    size = halves.train.x.shape[-1]
    # The next normalisation takes a layer's common factor away: gates count within their layer.
    importance = {k: v.abs() / v.abs().mean().clamp(min=SMALLEST) for k, v in gates.items()}
    channels = channels_for(shape, importance, target, size)
    with torch.no_grad():
        named = problem.flat.named(optimiser.w)
        for name, parameter in problem.network.named_parameters():
            parameter.copy_(named[name])
    share = flops(shape, channels, size) / flops(shape, shape.all_channels(), size)
    return Widths(prune(problem.network, channels, gates), channels, gates, share)


FLOOR = 0.25
"""Every convolution keeps this share of its channels: a bottleneck costs all later layers."""


def channels_for(
    shape: ResidualShape,
    importance: Mapping[str, Tensor],
    target: float,
    size: int,
    floor: float = FLOOR,
) -> Kept:
    """The most important channels of the whole network that meet a FLOPs target.

    Args:
        shape: The whole network.
        importance: ``[channels]`` by convolution, comparable between convolutions.
        target: The share of the whole network's FLOPs.
        size: Pixels of an image, in a row.
        floor: The share of its channels that each convolution keeps, one at least.

    Raises:
        ConfigurationError: What each convolution keeps is more than the target.
    """
    allowed = target * flops(shape, shape.all_channels(), size)
    ranked = sorted(
        (float(value), name, channel)
        for name, values in importance.items()
        for channel, value in enumerate(values)
        if channel not in values.topk(max(1, math.ceil(floor * len(values)))).indices.tolist()
    )

    def without(count: int) -> dict[str, list[int]]:
        gone = {(name, channel) for _, name, channel in ranked[:count]}
        return {
            name: [c for c in channels if (name, c) not in gone]
            for name, channels in shape.all_channels().items()
        }

    low, high = 0, len(ranked)
    if flops(shape, without(high), size) > allowed:
        raise ConfigurationError(
            f"a FLOPs target of {target:.3g} is less than {floor:.3g} of each convolution's "
            "channels need: give a larger target or a lower floor"
        )
    while low < high:  # FLOPs fall with each channel that goes
        middle = (low + high) // 2
        if flops(shape, without(middle), size) <= allowed:
            high = middle
        else:
            low = middle + 1
    return without(low)
