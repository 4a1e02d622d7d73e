"""The operations of convolutional cells, by the names that the spaces give them.

Every convolution is ReLU, convolution, normalisation. `Norm` says which normalisation: networks
that are trained for good have an affine one with running statistics, supernets neither (their
statistics hang on the gates, which move).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ...spaces.cell import NONE, SKIP

Norm = Callable[[int], nn.Module]


def affine_norm(channels: int) -> nn.Module:
    """Batch normalisation with running statistics, for single networks."""
    return nn.BatchNorm2d(channels)


def batch_norm(channels: int) -> nn.Module:
    """Batch normalisation by the statistics of each batch alone, for supernets."""
    return nn.BatchNorm2d(channels, affine=False, track_running_stats=False)


class Zero(nn.Module):
    """No connection: zeros of the shape that a connection would have."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class AveragePool(nn.Module):
    """The mean over 3 x 3 pixels, those outside the image left out.

    Sums of shifted images: on a CPU ten times as fast as PyTorch's own pooling, forth and back.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (1, 1, 1, 1))
        rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
        total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
        height, width = (_neighbours(size, x) for size in x.shape[2:])
        mean = total / (height[:, None] * width)
        return mean[:, :, :: self.stride, :: self.stride] if self.stride > 1 else mean


def _neighbours(size: int, x: Tensor) -> Tensor:
    """How many of three pixels in a row lie inside the image ``[size]``."""
    count = torch.full((size,), 3.0, dtype=x.dtype, device=x.device)
    count[0] -= 1
    count[-1] -= 1
    return count


class FactorizedReduce(nn.Module):
    """Halves the resolution by two 1x1 convolutions, the second one shifted by a pixel."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.second = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(x)
        # The shift leaves one row and column less where the size is odd: pad by zeros.
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return cast(Tensor, self.norm(torch.cat([self.first(x), self.second(shifted)], dim=1)))


def relu_conv_norm(inputs: int, outputs: int, kernel: int, stride: int, norm: Norm) -> nn.Module:
    """ReLU, a convolution that keeps (or strides) the resolution, normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, norm(outputs))


def _separable(channels: int, kernel: int, stride: int, norm: Norm) -> nn.Module:
    """Two depthwise separable convolutions; the first one strides."""
    layers: list[nn.Module] = []
    for step in (stride, 1):
        layers += _depthwise(channels, kernel, step, 1, norm)
    return nn.Sequential(*layers)


def _depthwise(
    channels: int, kernel: int, stride: int, dilation: int, norm: Norm
) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    depthwise = nn.Conv2d(
        channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
    )
    return [nn.ReLU(), depthwise, nn.Conv2d(channels, channels, 1, bias=False), norm(channels)]


def _skip(channels: int, stride: int, norm: Norm) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, norm)


OPERATIONS: dict[str, Callable[[int, int, Norm], nn.Module]] = {
    NONE: lambda c, s, n: Zero(s),
    SKIP: _skip,
    "nor_conv_1x1": lambda c, s, n: relu_conv_norm(c, c, 1, s, n),
    "nor_conv_3x3": lambda c, s, n: relu_conv_norm(c, c, 3, s, n),
    "avg_pool_3x3": lambda c, s, n: AveragePool(s),
    "max_pool_3x3": lambda c, s, n: nn.Sequential(nn.MaxPool2d(3, s, 1), n(c)),
    "sep_conv_3x3": lambda c, s, n: _separable(c, 3, s, n),
    "sep_conv_5x5": lambda c, s, n: _separable(c, 5, s, n),
    "dil_conv_3x3": lambda c, s, n: nn.Sequential(*_depthwise(c, 3, s, 2, n)),
    "dil_conv_5x5": lambda c, s, n: nn.Sequential(*_depthwise(c, 5, s, 2, n)),
}
"""(channels, stride, normalisation) -> operation, by name."""
