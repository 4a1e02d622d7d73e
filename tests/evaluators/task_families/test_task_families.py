"""Families by name: those of Bequest, and people's own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bequest.common.errors import BequestError, SelectionError, UnknownNameError
from bequest.evaluators.task_families import (
    FAMILIES,
    open_family,
    register_family,
    rotated_digits,
)
from bequest.evaluators.task_families.control import SETUPS, ControlFamily
from bequest.evaluators.task_families.rotated_digits import RotatedDigits
from bequest.search.task_selection.selection import TaskSelection


def test_each_family_is_opened_by_its_name() -> None:
    assert set(FAMILIES) == {"rotated-digits", *SETUPS}
    assert isinstance(open_family("rotated-digits", steps=None), RotatedDigits)
    for name in SETUPS:
        family = open_family(name, steps=9_000)
        assert isinstance(family, ControlFamily)
        assert (family.name, family.settings.steps) == (name, 9_000)


def test_what_cannot_be_opened_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cartpole-mass'"):
        open_family("cartpole-mas")
    with pytest.raises(SelectionError, match="'rotated-digits' takes no --steps: leave it out"):
        open_family("rotated-digits", steps=3)


def test_listing_families_loads_no_large_library() -> None:
    code = (
        "import sys; from bequest.evaluators.task_families import FAMILIES;"
        "print([m for m in ('torch', 'sklearn', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Lines:
    """Models that are good where they were trained and worse with distance."""

    name, dimensions = "lines", ("place",)

    def __init__(self, name: str, *, points: int = 5) -> None:
        self.contexts = np.linspace(0, 1, points)[:, None]

    def train(self, context: np.ndarray) -> float:
        return float(context[0])

    def evaluate(self, model: float, contexts: np.ndarray) -> np.ndarray:
        return 1 - np.abs(contexts[:, 0] - model)


def test_a_registered_family_is_selected_from() -> None:
    register_family("lines", Lines)
    try:
        family = open_family("lines", points=7)
        selection = TaskSelection.of(family, selector="random", tracking=False)
        selection.run(3)
        assert len(selection.sources) == 3
        with pytest.raises(BequestError, match="there is a family 'lines' already"):
            register_family("lines", Lines)
    finally:
        del FAMILIES["lines"]


def test_digits_are_turned_as_a_whole() -> None:
    """A quarter turn moves pixels, and mixes none."""
    images = load_digits().images / 16.0
    turned = rotated_digits._turned(90.0).reshape(-1, 8, 8)
    ways = [np.rot90(images, turn, axes=(1, 2)) for turn in (1, -1)]
    assert any(np.allclose(turned, way, atol=1e-9) for way in ways)
