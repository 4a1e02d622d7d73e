"""Figures of a one-shot search: the gates by epoch, its curves, the derived architecture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....common.figures import drawing
from ....spaces import Config
from ....spaces.cell import DARTS_CELLS, NAS_BENCH_201_EDGES, NONE, darts_edges
from ....spaces.nas_bench_graph import NODES

COLUMNS = 4
PALETTE = "tab10"

TITLES = {
    "architecture": "The architecture of the largest alphas",
    "gates": "The gates of each decision, epoch by epoch",
    "curves": "Losses, entropy of the gates, largest eigenvalue of the Hessian",
}


def one_shot_figures(findings: dict[str, Any]) -> dict[str, Any]:
    """Matplotlib figures by name (see `TITLES`).

    Args:
        findings: Of the stage, with one epoch at least.
    """
    epochs = findings["epochs"]
    chosen = epochs[findings.get("chosen", len(epochs)) - 1]
    with drawing() as (plt, figures):
        figures["architecture"] = _architecture(plt, chosen["config"])
        figures["gates"] = _gates(plt, findings)
        figures["curves"] = _curves(plt, epochs)
    return figures


def _gates(plt: Any, findings: dict[str, Any]) -> Any:
    """The softmax of the alphas of each decision, by epoch."""
    options: dict[str, list[str]] = findings["options"]
    epochs = findings["epochs"]
    rows = math.ceil(len(options) / COLUMNS)
    figure, grid = plt.subplots(
        rows, COLUMNS, figsize=(12, 2.3 * rows + 0.8), squeeze=False, layout="constrained"
    )
    names = list(dict.fromkeys(option for values in options.values() for option in values))
    colours = {name: plt.get_cmap(PALETTE)(i % 10) for i, name in enumerate(names)}
    steps = [epoch["epoch"] for epoch in epochs]
    for axes, (decision, its) in zip(grid.flat, options.items(), strict=False):
        alphas = np.array([epoch["alphas"][decision] for epoch in epochs])
        gates = np.exp(alphas - np.logaddexp.reduce(alphas, axis=1)[:, None])
        for i, option in enumerate(its):
            axes.plot(steps, gates[:, i], color=colours[option], label=option)
        axes.set_title(decision, fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in list(grid.flat)[len(options) :]:
        axes.axis("off")
    handles = [plt.Line2D([], [], color=colours[name], label=name) for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8)
    return figure


def _curves(plt: Any, epochs: list[dict[str, Any]]) -> Any:
    """Losses, entropy of the gates, eigenvalue of the Hessian."""
    figure, grid = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    names = (("train_loss", "validation_loss"), ("entropy",), ("eigenvalue",))
    for axes, group in zip(grid, names, strict=True):
        for name in group:
            points = [(e["epoch"], e[name]) for e in epochs if e[name] is not None]
            axes.plot([p[0] for p in points], [p[1] for p in points], label=name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    return figure


def _architecture(plt: Any, config: Config) -> Any:
    """Nodes on a line, an arc for each operation; missing edges are left out."""
    cells = edges_of(config)
    figure, grid = plt.subplots(
        len(cells), 1, figsize=(11, 4.2 * len(cells)), squeeze=False, layout="constrained"
    )
    for axes, (title, edges) in zip(grid[:, 0], cells.items(), strict=True):
        last = max(to for _, to, _ in edges)
        drawn = [edge for edge in edges if edge[2] != NONE]
        colours = {option: i for i, option in enumerate(dict.fromkeys(e[2] for e in drawn))}
        for source, to, option in drawn:
            _arc(axes, source, to, option, plt.get_cmap(PALETTE)(colours[option] % 10))
        for node in range(last + 1):
            axes.plot(node, 0, "o", markersize=22, color="#e8ecf2", markeredgecolor="#66707f")
            axes.text(node, 0, str(node), ha="center", va="center", fontsize=9)
        axes.set(xlim=(-0.5, last + 0.5), ylim=(-0.28 * last - 0.1, 0.28 * last + 0.4), title=title)
        axes.axis("off")
    return figure


def _arc(axes: Any, source: int, to: int, option: str, colour: Any) -> None:
    """A near neighbour's arc lies flat, a far one's high; every second one lies below."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    span = to - source
    height = 0.0 if span == 1 else 0.28 * span * (1 if span % 2 else -1)
    middle = (source + to) / 2
    points = [(source, 0.0), (middle, 2 * height), (to - 0.11, 0.17 * height)]
    path = Path(points, [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    arrow = FancyArrowPatch(
        path=path, arrowstyle="-|>", mutation_scale=14, color=colour, fill=False, linewidth=1.6
    )
    axes.add_patch(arrow)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(middle, height, option, ha="center", va="center", size=8, color=colour, bbox=white)


def edges_of(config: Config) -> dict[str, list[tuple[int, int, str]]]:
    """The edges (from, to, operation) of an architecture, by the title of the cell."""
    if "links" in config:
        links = [int(link) for link in str(config["links"])]
        return {"network": [(links[i - 1], i, str(config[f"op{i}"])) for i in NODES]}
    if "e01" in config:
        return {"cell": [(int(e[1]), int(e[2]), str(config[e])) for e in NAS_BENCH_201_EDGES]}
    return {f"{cell} cell": darts_edges(config, cell) for cell in DARTS_CELLS}
