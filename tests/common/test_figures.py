"""Figures without a screen: closed in the end, and still to be drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from bequest.common.figures import as_svg, drawing


def test_figures_are_closed_and_can_still_be_saved() -> None:
    before = plt.get_fignums()
    with drawing() as (pyplot, figures):
        figures["line"], axes = pyplot.subplots()
        axes.plot([1, 2], [3, 4])
        assert len(plt.get_fignums()) == len(before) + 1
    assert plt.get_fignums() == before
    svg = as_svg(figures["line"])
    assert svg.startswith("<svg")
    assert svg.rstrip().endswith("</svg>")


def test_they_are_closed_after_an_error_too() -> None:
    before = plt.get_fignums()

    def draw() -> None:
        with drawing() as (pyplot, figures):
            figures["broken"] = pyplot.figure()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draw()
    assert plt.get_fignums() == before
