"""Time convolutions on the machine at hand, and write the table that APQ's search reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.benchmark import Timer

from ...spaces.elastic import Geometry, Layer
from .model import layers_of
from .table import Cost, CostTable

Progress = Callable[[int, int], object]
"""Called with (layers timed, layers in all)."""


def timed_table(
    geometry: Geometry,
    head: Sequence[Layer],
    tail: Sequence[Layer],
    *,
    device: str = "cpu",
    threads: int = 1,
    seconds: float = 0.05,
    watts: float | None = None,
    progress: Progress = lambda done, total: None,
) -> CostTable:
    """Measure every layer that networks of a geometry may have, for one image.

    PyTorch computes convolutions of 4, 6 and 8 bits as it computes floats, so that all bits get the
    same time; where a machine has integer kernels of its own, put their times into the JSON.

    Args:
        geometry: Whose layers.
        head, tail: Layers before the first block and behind the last.
        device: Where to time.
        threads: Threads of a convolution on a CPU.
        seconds: How long each layer is repeated; the median counts.
        watts: What the machine draws while it computes; energy is that times the latency. Nobody
            can measure it from here: without it the table has no energy.
        progress: Told after each layer.
    """
    layers = layers_of(geometry)
    distinct = list(dict.fromkeys([*layers, *head, *tail]))
    times: dict[Layer, float] = {}
    for layer in distinct:
        times[layer] = _milliseconds(layer, torch.device(device), threads, seconds)
        progress(len(times), len(distinct))

    def cost(milliseconds: float) -> Cost:
        return Cost(milliseconds, math.nan if watts is None else watts * milliseconds)

    return CostTable.of_layers(
        layers,
        lambda layer, w, a: cost(times[layer]),
        head=cost(sum(times[layer] for layer in head)),
        tail=cost(sum(times[layer] for layer in tail)),
    )


@torch.no_grad()
def _milliseconds(layer: Layer, device: torch.device, threads: int, seconds: float) -> float:
    convolution = nn.Conv2d(
        layer.inputs,
        layer.outputs,
        layer.kernel,
        layer.stride,
        layer.kernel // 2,
        groups=layer.groups,
    ).to(device)
    x = torch.randn(1, layer.inputs, layer.size, layer.size, device=device)
    timer = Timer(
        "run(x)", globals={"run": convolution.eval(), "x": x}, num_threads=threads
    )  # it waits for a GPU to finish
    return float(timer.blocked_autorange(min_run_time=seconds).median) * 1e3
