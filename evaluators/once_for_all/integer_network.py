"""Quantised networks after training: integer weights, packed to their bits on disk.

Training sees rounded floats (`quantisation`); here the same numbers are integers, and normalisation
is folded into a factor and a shift of each channel. Sums of products are exact in float32 as long
as they stay below 2^24, so a loaded network gives the outputs of the one that was saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...common.errors import DataError
from .network import BottleneckBlock, BottleneckNetwork, Convolution
from .quantisation import FIXED_BITS, LayerBits, QuantisedConvolution, QuantisedLinear

PARTS = ("expand", "depthwise", "project")


class IntegerConvolution(nn.Module):
    """A convolution of integers, scaled, shifted and perhaps cut at 0.

    Args:
        shape: Of the weights.
        bits: Of weights and inputs.
        stride, relu: As the convolution has them.
    """

    integers: Tensor
    weight_scale: Tensor
    input_scale: Tensor
    zero_point: Tensor
    factor: Tensor
    shift: Tensor

    def __init__(self, shape: tuple[int, ...], bits: LayerBits, stride: int, *, relu: bool) -> None:
        super().__init__()
        self.bits = bits
        self.stride = stride
        self.relu = relu
        self.register_buffer("integers", torch.zeros(shape, dtype=torch.int8))
        for name in ("weight_scale", "input_scale", "zero_point"):
            self.register_buffer(name, torch.ones(()))
        for name in ("factor", "shift"):
            self.register_buffer(name, torch.zeros(shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        levels = 2 ** self.bits[1] - 1
        steps = (x / self.input_scale).add_(self.zero_point).round_().clamp_(0, levels)
        out = self._product(steps.sub_(self.zero_point))
        scale = self.input_scale * self.weight_scale * self.factor
        spread = (-1, *[1] * (out.ndim - 2))
        out.mul_(scale.view(spread)).add_(self.shift.view(spread))
        return out.relu_() if self.relu else out

    def _product(self, steps: Tensor) -> Tensor:
        weights = self.integers.to(steps.dtype)
        # A depth-wise convolution's weights have one input channel, though many come.
        groups = steps.shape[1] // weights.shape[1]
        padding = weights.shape[-1] // 2
        return functional.conv2d(steps, weights, None, self.stride, padding, groups=groups)


class IntegerLinear(IntegerConvolution):
    """The same for a linear layer."""

    def _product(self, steps: Tensor) -> Tensor:
        return functional.linear(steps, self.integers.to(steps.dtype))


Quantised = QuantisedConvolution | QuantisedLinear


@torch.no_grad()
def folded(network: BottleneckNetwork) -> BottleneckNetwork:
    """Turn a network that was trained with few bits into one of integers, in place."""
    for owner, name, part in _parts(network):
        assert isinstance(part, (QuantisedConvolution, QuantisedLinear))
        setattr(owner, name, _integer(part))
    return network.eval()


def _integer(part: Quantised) -> IntegerConvolution:
    """The integer layer of a trained one; its weights' scale is that of the weights now."""
    weight = part.conv.weight if isinstance(part, QuantisedConvolution) else part.layer.weight
    part.weights(weight)
    scale = cast(Tensor, part.weights.scale).reshape(())
    most = 2 ** (part.bits[0] - 1) - 1
    fake, levels = part.inputs.fake, 2 ** part.bits[1] - 1
    if isinstance(part, QuantisedLinear):
        integer: IntegerConvolution = IntegerLinear(tuple(weight.shape), part.bits, 1, relu=False)
        integer.factor, integer.shift = torch.ones_like(part.layer.bias), part.layer.bias.clone()
    else:
        shape, stride = tuple(weight.shape), part.conv.stride[0]
        integer = IntegerConvolution(shape, part.bits, stride, relu=part.relu)
        norm = part.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        integer.factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        integer.shift = norm.bias - norm.running_mean * integer.factor
    integer.weight_scale = scale.clone()
    integer.integers = (weight / scale).round().clamp(-most, most).to(torch.int8)
    integer.input_scale = fake.scale.detach().reshape(()).clone()
    integer.zero_point = fake.zero_point.detach().reshape(()).round().clamp(0, levels)
    return integer


# On disk ------------------------------------------------------------------------------------------


def packed(network: BottleneckNetwork) -> dict[str, Tensor]:
    """Two flat tensors: ``weights`` (uint8, as many bits a weight as it has) and ``numbers``."""
    weights, numbers = [], []
    for _, _, part in _parts(network):
        assert isinstance(part, IntegerConvolution)
        weights.append(pack_bits(part.integers.cpu().numpy(), part.bits[0]))
        scalars = (part.weight_scale, part.input_scale, part.zero_point)
        numbers += [torch.stack(scalars), part.factor, part.shift]
    flat = torch.cat([n.detach().float().cpu() for n in numbers])
    return {"weights": torch.from_numpy(np.concatenate(weights)), "numbers": flat}


def unpacked(
    network: BottleneckNetwork,
    bits: list[tuple[LayerBits, LayerBits]],
    saved: dict[str, Tensor],
) -> BottleneckNetwork:
    """Give a plain network of the same architecture the layers that `packed` wrote, in place.

    Raises:
        DataError: The numbers are not as many as the architecture has.
    """
    fixed = (FIXED_BITS, FIXED_BITS)
    layers = [fixed, *(b for points, depths in bits for b in (points, depths, points)), fixed]
    weights, numbers = saved["weights"].numpy(), saved["numbers"]
    for (owner, name, part), bits_of_layer in zip([*_parts(network)], layers, strict=True):
        empty = _empty(part, bits_of_layer)
        shape = empty.integers.shape
        count, bytes_ = int(np.prod(shape)), -(-int(np.prod(shape)) * bits_of_layer[0] // 8)
        used = 3 + 2 * shape[0]
        if len(weights) < bytes_ or len(numbers) < used:
            raise DataError("a saved network is shorter than its architecture: save it again")
        integers = unpack_bits(weights[:bytes_], bits_of_layer[0], count).reshape(shape)
        empty.integers = torch.from_numpy(integers)
        empty.weight_scale, empty.input_scale, empty.zero_point = numbers[:3].clone().unbind()
        empty.factor, empty.shift = numbers[3:used].clone().view(2, -1).unbind()
        weights, numbers = weights[bytes_:], numbers[used:]
        setattr(owner, name, empty)
    if len(weights) or len(numbers):
        raise DataError("a saved network is longer than its architecture: save it again")
    return network.eval()


def _empty(part: nn.Module, bits: LayerBits) -> IntegerConvolution:
    """The integer layer that takes a plain layer's place."""
    if isinstance(part, Convolution):
        shape, stride = tuple(part.conv.weight.shape), part.conv.stride[0]
        return IntegerConvolution(shape, bits, stride, relu=part.relu)
    assert isinstance(part, nn.Linear)
    return IntegerLinear(tuple(part.weight.shape), bits, 1, relu=False)


def pack_bits(integers: np.ndarray, bits: int) -> np.ndarray:
    """Signed integers of few bits as bytes ``[ceil(n * bits / 8)]`` uint8, in a row."""
    offset = integers.reshape(-1, 1).astype(np.int16) + 2 ** (bits - 1)
    return np.packbits(offset >> np.arange(bits - 1, -1, -1) & 1)


def unpack_bits(data: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The ``[count]`` int8 integers that `pack_bits` wrote."""
    row = np.unpackbits(data)[: count * bits].reshape(count, bits).astype(np.int16)
    values: np.ndarray = row @ (1 << np.arange(bits - 1, -1, -1)) - 2 ** (bits - 1)
    return values.astype(np.int8)


def _parts(network: BottleneckNetwork) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Layers from input to output, each with its parent module and its name there."""
    yield network, "stem", network.stem
    for module in network.blocks:
        block = cast(BottleneckBlock, module)
        for name in PARTS:
            yield block, name, getattr(block, name)
    yield network, "classifier", network.classifier
