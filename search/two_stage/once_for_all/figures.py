"""Pictures of a joint search: the front, what the predictor is worth, the once-for-all training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ...studies.trial import Trial

TITLES = {
    "front": "Predicted front, and what its networks measured",
    "predictor": "Predicted and measured accuracy of networks that were left out",
    "once_for_all": "Loss of the once-for-all network, phase by phase",
}


def pictures(found: dict[str, Any], trials: Sequence[Trial]) -> dict[str, Any]:
    """Matplotlib figures by name, of whatever is there.

    Args:
        found: What `StudyRecord.joint` gives.
        trials: The study's, whose metrics have the measured costs.
    """
    import matplotlib as mpl

    if "matplotlib.pyplot" not in sys.modules:  # else the user has chosen a backend
        mpl.use("Agg")
    import matplotlib.pyplot as plt

    figures = {}
    if "front" in found:
        figures["front"] = _front(plt, found, trials)
    if "quantised_said" in found.get("predictor", {}):
        figures["predictor"] = _predictor(plt, found["predictor"])
    if found.get("epochs"):
        figures["once_for_all"] = _epochs(plt, found["epochs"])
    for figure in figures.values():
        plt.close(figure)
    return figures


def limited(found: dict[str, Any]) -> str:
    """The cost that the front is drawn over: the first that is limited, else latency."""
    return str(found["limits"][0].split("=")[0]) if found["limits"] else "latency"


def _front(plt: Any, found: dict[str, Any], trials: Sequence[Trial]) -> Any:
    cost = limited(found)
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    front = found["front"]
    axes.plot(front[cost], front["accuracy"], ".", color="#b8c4d6", label="predicted, with caution")
    measured = [t for t in trials if t.value is not None and cost in t.metrics]
    if measured:
        x = [t.metrics[cost] for t in measured]
        axes.plot(x, [t.value for t in measured], "o", color="#c0392b", label="measured")
    for text in found["limits"]:
        name, value = text.split("=")
        if name == cost:
            axes.axvline(float(value.rstrip("msJB")), color="#66707f", linestyle=":")
    axes.set(xlabel=cost, ylabel="accuracy")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def _predictor(plt: Any, quality: dict[str, Any]) -> Any:
    figure, grid = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axes, name in zip(grid, ("floats", "quantised"), strict=True):
        said, true = quality[f"{name}_said"], quality[f"{name}_true"]
        axes.plot(true, said, "o", markersize=4)
        ends = [min(*said, *true), max(*said, *true)]
        axes.plot(ends, ends, color="#66707f", linewidth=1)
        title = f"{name}: {quality[f'{name}_pairwise']:.2f} of pairs in order"
        axes.set(xlabel="measured", ylabel="predicted", title=title)
        axes.grid(alpha=0.3)
    return figure


def _epochs(plt: Any, epochs: Sequence[dict[str, Any]]) -> Any:
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for phase in dict.fromkeys(epoch["phase"] for epoch in epochs):
        its = [e for e in epochs if e["phase"] == phase]
        axes.plot([e["epoch"] for e in its], [e["loss"] for e in its], "o-", label=phase)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure
