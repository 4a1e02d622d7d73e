"""The last steps of a local search, along the acquisition's gradient."""

from __future__ import annotations

import pytest
import torch

from bequest.search.surrogates.polish import polish
from bequest.spaces import Config
from bequest.testing.samplers import CONDITIONAL

STARTS: list[Config] = [
    {"layer": "gat", "heads": 2, "dropout": 0.1, "rate": 1e-3, "fixed": "only"},
    {"layer": "none", "rate": 0.05, "fixed": "only"},
]


def test_it_climbs_and_keeps_what_is_active() -> None:
    x = torch.from_numpy(CONDITIONAL.encode(STARTS).values)

    def acquisition(x: torch.Tensor) -> torch.Tensor:
        return -(x[:, 1:4] - torch.tensor([1.0, 0.5, 2 / 3])).square().sum(1)

    first, second = (CONDITIONAL.validate(c) for c in polish(CONDITIONAL, STARTS, x, acquisition))
    assert first["heads"] == 8
    assert first["dropout"] == pytest.approx(0.45, abs=1e-3)
    assert first["rate"] == pytest.approx(0.01, rel=1e-2)
    assert first["layer"] == "gat", "categorical choices stay"
    assert set(second) == set(STARTS[1])
    assert second["rate"] == pytest.approx(0.01, rel=1e-2)


def test_where_the_acquisition_breaks_down_the_starts_stay() -> None:
    x = torch.from_numpy(CONDITIONAL.encode(STARTS).values)
    first, second = polish(CONDITIONAL, STARTS, x, lambda x: x.sum(1) * torch.nan)
    assert first == pytest.approx(STARTS[0])
    assert second == pytest.approx(STARTS[1])


def test_without_numeric_choices_nothing_moves() -> None:
    fixed = [{"layer": "none", "rate": 0.05, "fixed": "only"}]
    space_x = torch.from_numpy(CONDITIONAL.encode(fixed).values)
    moved = polish(CONDITIONAL, fixed, space_x, lambda x: x[:, 3])
    assert moved[0]["rate"] == pytest.approx(0.1), "to the end of its range, no further"
