"""Figures of a once-for-all search: the front, the predictor's quality, the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....common.figures import drawing
from ...studies.trial import Trial

TITLES = {
    "front": "Predicted front, and what its networks measured",
    "predictor": "Predicted and measured accuracy of networks that were left out",
    "once_for_all": "Loss of the once-for-all network, phase by phase",
}


def once_for_all_figures(findings: dict[str, Any], trials: Sequence[Trial]) -> dict[str, Any]:
    """Matplotlib figures by name (see `TITLES`), as far as the stage has come.

    Args:
        findings: Of the stage.
        trials: The study's, whose metrics have the measured costs.
    """
    with drawing() as (plt, figures):
        if "front" in findings:
            figures["front"] = _front(plt, findings, trials)
        if "quantised_said" in findings.get("predictor", {}):
            figures["predictor"] = _predictor(plt, findings["predictor"])
        if findings.get("epochs"):
            figures["once_for_all"] = _epochs(plt, findings["epochs"])
    return figures


def limited(findings: dict[str, Any]) -> str:
    """The cost that the front is drawn over: the first that is limited, else latency."""
    return str(findings["limits"][0].split("=")[0]) if findings["limits"] else "latency"


def _front(plt: Any, findings: dict[str, Any], trials: Sequence[Trial]) -> Any:
    cost = limited(findings)
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    front = findings["front"]
    axes.plot(front[cost], front["accuracy"], ".", color="#b8c4d6", label="predicted, with caution")
    measured = [t for t in trials if t.value is not None and cost in t.metrics]
    if measured:
        x = [t.metrics[cost] for t in measured]
        axes.plot(x, [t.value for t in measured], "o", color="#c0392b", label="measured")
    for text in findings["limits"]:
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
        predicted, measured = quality[f"{name}_said"], quality[f"{name}_true"]
        axes.plot(measured, predicted, "o", markersize=4)
        ends = [min(*predicted, *measured), max(*predicted, *measured)]
        axes.plot(ends, ends, color="#66707f", linewidth=1)
        title = f"{name}: {quality[f'{name}_pairwise']:.2f} of pairs in order"
        axes.set(xlabel="measured", ylabel="predicted", title=title)
        axes.grid(alpha=0.3)
    return figure


def _epochs(plt: Any, epochs: Sequence[dict[str, Any]]) -> Any:
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for phase in dict.fromkeys(epoch["phase"] for epoch in epochs):
        points = [(e["epoch"], e["loss"]) for e in epochs if e["phase"] == phase]
        axes.plot(*zip(*points, strict=True), "o-", label=phase)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure
