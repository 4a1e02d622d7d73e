"""Merging what several trainings have learned: weighted sums and TIES.

Yadav et al., *TIES-Merging* (NeurIPS 2023): trim each difference to its largest entries, elect a
sign for each entry by the sum of what is left, average the entries that agree with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...common.errors import DataError

Delta = Mapping[str, Tensor]
"""A difference from common starting weights, by the weights' names; dense."""


def difference(after: Delta, before: Delta) -> dict[str, Tensor]:
    """What a training has changed: ``after - before``.

    Raises:
        DataError: The two are not of the same weights.
    """
    _check([after, before])
    return {name: value - before[name] for name, value in after.items()}


def merge_deltas(
    deltas: Sequence[Delta], weights: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """The weighted sum of differences; by default their mean.

    Raises:
        DataError: There is none, or they are not of the same weights.
    """
    _check(deltas)
    shares = weights or [1 / len(deltas)] * len(deltas)
    return {
        name: torch.stack([w * d[name] for w, d in zip(shares, deltas, strict=True)]).sum(dim=0)
        for name in deltas[0]
    }


def ties(deltas: Sequence[Delta], *, density: float = 0.2, scale: float = 1.0) -> dict[str, Tensor]:
    """TIES: trim, elect signs, average what agrees.

    Args:
        deltas: Differences from the same weights.
        density: The share of the entries of each difference that is kept.
        scale: lambda, the factor of the result.

    Raises:
        DataError: There is none, or they are not of the same weights.
    """
    _check(deltas)
    flat = torch.stack([torch.cat([d[name].flatten() for name in deltas[0]]) for d in deltas])
    trimmed = torch.stack([trim(row, density) for row in flat])
    elected = trimmed.sum(dim=0).sign()
    agreeing = torch.where(trimmed.sign() == elected, trimmed, torch.zeros_like(trimmed))
    count = (agreeing != 0).sum(dim=0).clamp(min=1)
    merged = scale * agreeing.sum(dim=0) / count
    parts = torch.split(merged, [value.numel() for value in deltas[0].values()])
    return {
        name: part.view_as(value)
        for (name, value), part in zip(deltas[0].items(), parts, strict=True)
    }


def trim(flat: Tensor, density: float) -> Tensor:
    """The largest entries by size, the others 0; ``[n]`` to ``[n]``."""
    count = max(1, round(density * flat.numel()))
    index = flat.abs().topk(count).indices
    return torch.zeros_like(flat).index_copy(0, index, flat[index])


def _check(deltas: Sequence[Delta]) -> None:
    if not deltas:
        raise DataError("there is nothing to merge: give at least one difference")
    shapes = [{name: value.shape for name, value in d.items()} for d in deltas]
    odd = next((i for i, s in enumerate(shapes) if s != shapes[0]), None)
    if odd is not None:
        raise DataError(f"difference {odd} is not of the same weights as difference 0")
