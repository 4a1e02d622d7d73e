"""Figures of a selection: V by the number of sources, the chosen contexts, the transfer matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...common.figures import drawing
from .summary import SelectionSummary

CHOSEN = "tab:red"


def selection_figures(selection: SelectionSummary) -> dict[str, Any]:
    """Matplotlib figures by name; none before the first source."""
    if not selection.selector.trained:
        return {}
    with drawing() as (plt, figures):
        figures["value"] = _value(plt, selection)
        figures["contexts"] = _contexts(plt, selection)
        figures["transfer"] = transfer_figure(plt, selection)
    return figures


def _value(plt: Any, selection: SelectionSummary) -> Any:
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    values = [source.value for source in selection.sources]
    steps = np.arange(1, len(values) + 1)
    axes.plot(steps, values, marker="o", markersize=4)
    axes.set(xlabel="sources trained", ylabel="V: mean of the best return on each context")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.set_title(selection.name)
    return figure


def _contexts(plt: Any, selection: SelectionSummary) -> Any:
    """How well each context is served, and by which sources; two dimensions at most are drawn."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    points, served = selection.contexts, selection.selector.served
    chosen = selection.chosen
    if points.shape[1] == 1:
        by_context = points[:, 0].argsort()
        axes.plot(points[by_context, 0], served[by_context], label="best return")
        for order, (x,) in enumerate(chosen, 1):
            axes.axvline(x, color=CHOSEN, alpha=0.4, linewidth=1)
            place_text = axes.get_xaxis_transform()
            axes.text(x, 1.01, str(order), color=CHOSEN, ha="center", transform=place_text, size=8)
        axes.set(xlabel=selection.dimensions[0], ylabel="best return of any source")
        axes.grid(alpha=0.3)
        return figure
    # What the other dimensions hide is averaged.
    shown = _averaged(points[:, :2], served)
    drawn = axes.scatter(shown[:, 0], shown[:, 1], c=shown[:, 2], s=40, marker="s")
    axes.scatter(chosen[:, 0], chosen[:, 1], facecolors="none", edgecolors=CHOSEN, s=90)
    for order, point in enumerate(chosen, 1):
        axes.annotate(str(order), point[:2], color=CHOSEN, size=8, ha="center", va="center")
    axes.set(xlabel=selection.dimensions[0], ylabel=selection.dimensions[1])
    rest = f", mean over {', '.join(selection.dimensions[2:])}" if points.shape[1] > 2 else ""
    figure.colorbar(drawn, label=f"best return of any source{rest}")
    return figure


def _averaged(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    places, inverse = np.unique(points, axis=0, return_inverse=True)
    measured = ~np.isnan(values)
    totals = np.bincount(inverse.ravel()[measured], values[measured], len(places))
    counts = np.bincount(inverse.ravel()[measured], minlength=len(places))
    with np.errstate(invalid="ignore"):
        return np.column_stack([places, totals / counts])


def transfer_figure(plt: Any, selection: SelectionSummary) -> Any:
    """The measured rows as a heat map, sources in the order of their contexts."""
    rows, trained = selection.selector.rows, selection.selector.trained
    order = np.argsort(trained)
    height = float(np.clip(0.28 * len(trained) + 1.5, 3, 9))
    figure, axes = plt.subplots(figsize=(9, height), layout="constrained")
    image = axes.imshow(rows[order], aspect="auto", interpolation="nearest")
    labels = [_label(selection.contexts[trained[i]]) for i in order]
    axes.set_yticks(range(len(labels)), labels, size=8)
    columns = np.unique(np.linspace(0, rows.shape[1] - 1, 8).round().astype(int))
    axes.set_xticks(columns, [_label(selection.contexts[j]) for j in columns], size=8)
    names = ", ".join(selection.dimensions)
    axes.set(xlabel=f"evaluated on ({names})", ylabel=f"trained on ({names})")
    figure.colorbar(image, label="return")
    return figure


def _label(context: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in context)
