"""Train a network as if its weights and inputs had few bits.

Source: Wang et al., *APQ*, CVPR 2020: weights are symmetric, one scale for a tensor,
``t / (2^(b-1) - 1)``; the range of inputs is learned; rounding passes gradients straight through.
Both are `torch.ao`'s fake-quantise modules.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...spaces.elastic import BITS
from ...spaces.elastic_genes import Networks
from .network import BottleneckBlock, BottleneckNetwork, Convolution

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch.ao.quantization import FakeQuantize, MinMaxObserver, MovingAverageMinMaxObserver
    from torch.ao.quantization._learnable_fake_quantize import _LearnableFakeQuantize

FIXED_BITS = 8
"""Of stem and classifier."""

LayerBits = tuple[int, int]
"""Bits of weights and of inputs."""


def weight_quantiser(bits: int) -> nn.Module:
    """Symmetric, from the weights as they are: ``scale = max |w| / (2^(bits-1) - 1)``."""
    most = 2 ** (bits - 1) - 1
    return cast(
        nn.Module,
        FakeQuantize(  # type: ignore[no-untyped-call]
            MinMaxWeights,
            quant_min=-most,
            quant_max=most,
            dtype=torch.qint8,
            qscheme=torch.per_tensor_symmetric,
        ),
    )


class MinMaxWeights(MinMaxObserver):
    """The range of the weights as they are now: training may shrink it, too."""

    def forward(self, x_orig: Tensor) -> Tensor:
        self.reset_min_max_vals()
        return cast(Tensor, super().forward(x_orig))  # type: ignore[no-untyped-call]


class InputQuantiser(nn.Module):
    """Inputs in a range that is learned: a scale and a zero point by gradient (LSQ+).

    Args:
        bits: So many levels has an input: ``2^bits``.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.observing = False
        self.fake = _LearnableFakeQuantize(  # type: ignore[no-untyped-call]
            MovingAverageMinMaxObserver,
            quant_min=0,
            quant_max=2**bits - 1,
            dtype=torch.quint8,
            qscheme=torch.per_tensor_affine,
            use_grad_scaling=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.observing or x.device.type != "cpu":
            return cast(Tensor, self.fake(x))
        fake = self.fake
        fake.scale.data.clamp_(min=torch.finfo(x.dtype).eps)
        return cast(
            Tensor,
            FastRounding.apply(  # type: ignore[no-untyped-call]
                x, fake.scale, fake.zero_point, fake.quant_max
            ),
        )

    def observe(self, observing: bool) -> None:
        """Take the range from what passes by, or learn it."""
        self.observing = observing
        if observing:
            self.fake.enable_static_estimate()
        else:
            self.fake.enable_param_learning()


class FastRounding(torch.autograd.Function):
    """What `_LearnableFakeQuantize` computes, from 0 to a largest level, by vector operations.

    PyTorch's kernel for CPUs takes the numbers one by one: several times as long. Values are the
    same; gradients are, to rounding.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, most: int) -> Tensor:
        zero = zero_point.round().clamp(0, most)
        out = _steps(x, scale, zero).clamp_(0, most).sub_(zero).mul_(scale)
        ctx.save_for_backward(x, out, scale, zero)
        ctx.most = most
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, out, scale, zero = ctx.saved_tensors
        steps = _steps(x, scale, zero)
        inside = steps.eq_(steps.clamp(0, ctx.most))  # 1 or 0
        of_x = inside.mul_(gradients[0])
        # Where x is outside the range, the output moves with the range; inside, with its rounding.
        outside = gradients[0] - of_x
        moved = (out - x).mul_(of_x).sum() + (out * outside).sum()
        share = (x.numel() * ctx.most) ** -0.5
        return of_x, (share * moved / scale).view_as(scale), -share * scale * outside.sum(), None


def _steps(x: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return (x * scale.reciprocal()).round_().add_(zero)


class QuantisedConvolution(nn.Module):
    """A `Convolution` whose weights and inputs have few bits.

    Args:
        part: Its weights and normalisation are taken over, not copied.
        bits: Of weights and inputs.
    """

    def __init__(self, part: Convolution, bits: LayerBits) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = part.conv, part.norm, part.relu
        self.bits = bits
        self.weights = weight_quantiser(bits[0])
        self.inputs = InputQuantiser(bits[1])

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv._conv_forward(self.inputs(x), self.weights(self.conv.weight), None)
        normal: Tensor = self.norm(out)
        return normal.relu_() if self.relu else normal


class QuantisedLinear(nn.Module):
    """A linear layer whose weights and inputs have few bits; its bias has not.

    Args:
        layer: Its weights are taken over, not copied.
        bits: Of weights and inputs.
    """

    def __init__(self, layer: nn.Linear, bits: LayerBits) -> None:
        super().__init__()
        self.layer = layer
        self.bits = bits
        self.weights = weight_quantiser(bits[0])
        self.inputs = InputQuantiser(bits[1])

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.inputs(x), self.weights(self.layer.weight), self.layer.bias)


def block_bits(networks: Networks, row: int = 0) -> list[tuple[LayerBits, LayerBits]]:
    """Bits of the point-wise and of the depth-wise layers of each block that is there."""
    genes = networks.bits[row][networks.there[row]]
    return [
        ((BITS[b[0]], BITS[b[1]]), (BITS[b[2]], BITS[b[3]])) for b in (g.tolist() for g in genes)
    ]


def quantise(
    network: BottleneckNetwork, bits: Sequence[tuple[LayerBits, LayerBits]], images: Tensor
) -> BottleneckNetwork:
    """Make a network a quantised one, in place, ready for training.

    Args:
        network: With running statistics that fit its weights.
        bits: Of the point-wise and depth-wise layers of each block.
        images: ``[n, channels, height, width]`` from which the first ranges of inputs are taken.

    Returns:
        The same network, in evaluation mode.
    """
    fixed = (FIXED_BITS, FIXED_BITS)
    stem, classifier = network.stem, network.classifier
    network.stem = QuantisedConvolution(stem, fixed)  # type: ignore[assignment]
    network.classifier = QuantisedLinear(classifier, fixed)  # type: ignore[assignment]
    for module, (points, depths) in zip(network.blocks, bits, strict=True):
        block = cast(BottleneckBlock, module)
        for name, layer_bits in (("expand", points), ("depthwise", depths), ("project", points)):
            setattr(block, name, QuantisedConvolution(getattr(block, name), layer_bits))
    network.to(images.device).eval()
    quantisers = [m for m in network.modules() if isinstance(m, InputQuantiser)]
    for quantiser in quantisers:
        quantiser.observe(True)
    with torch.no_grad():
        network(images)
    for quantiser in quantisers:
        quantiser.observe(False)
    return network
