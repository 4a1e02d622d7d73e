"""Matplotlib without a screen, and its figures in pages."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def drawing() -> Iterator[tuple[Any, dict[str, Any]]]:
    """``pyplot`` and a dictionary for figures, all of which are closed in the end.

    A closed figure can still be saved; an open one would be shown by a notebook and kept for ever.
    """
    import matplotlib as mpl

    if "matplotlib.pyplot" not in sys.modules:  # else the user has chosen a backend
        mpl.use("Agg")
    import matplotlib.pyplot as plt

    figures: dict[str, Any] = {}
    try:
        yield plt, figures
    finally:
        for figure in figures.values():
            plt.close(figure)


def as_svg(figure: Any) -> str:
    """A figure as an ``svg`` element, to be put into a page."""
    text = io.StringIO()
    figure.savefig(text, format="svg")
    page = text.getvalue()
    return page[page.index("<svg") :]
