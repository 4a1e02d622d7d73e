"""Train a network as if its weights and inputs had few bits.

Source: Wang et al., *APQ*, CVPR 2020: weights are symmetric, one scale for a tensor,
``t / (2^(b-1) - 1)``; the range of inputs is learned; rounding passes gradients straight through.
Both are `torch.ao`'s fake-quantise modules.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import cast

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
        self.fake = _LearnableFakeQuantize(  # type: ignore[no-untyped-call]
            MovingAverageMinMaxObserver,
            quant_min=0,
            quant_max=2**bits - 1,
            dtype=torch.quint8,
            qscheme=torch.per_tensor_affine,
            use_grad_scaling=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fake(x))

    def observe(self, observing: bool) -> None:
        """Take the range from what passes by, or learn it."""
        if observing:
            self.fake.enable_static_estimate()
        else:
            self.fake.enable_param_learning()


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
        return normal.relu() if self.relu else normal


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
        for name, its in (("expand", points), ("depthwise", depths), ("project", points)):
            setattr(block, name, QuantisedConvolution(getattr(block, name), its))
    network.to(images.device).eval()
    quantisers = [m for m in network.modules() if isinstance(m, InputQuantiser)]
    for quantiser in quantisers:
        quantiser.observe(True)
    with torch.no_grad():
        network(images)
    for quantiser in quantisers:
        quantiser.observe(False)
    return network
