"""Plots of a study, by Optuna's own plotting functions."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..execution.slots import SlotStudy, by_slot, is_lost

ENOUGH_FOR_IMPORTANCE = 8
WIDE = 20
"""Costs that differ by a larger factor are drawn on a logarithmic axis."""


def _plain(study: SlotStudy) -> optuna.Study:
    """The ended trials as a plain study whose trial numbers are the slots.

    Optuna's plots index trials by their numbers, which have gaps where trials were lost.
    """
    plain = optuna.create_study(directions=study.directions)
    plain.add_trials([t for t in by_slot(study.all_trials()) if _has_ended(t)])
    return plain


def _has_ended(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and not is_lost(trial)


Draw = Callable[[Any], Any]
"""Draws one plot with one of Optuna's two plotting libraries."""


def _plots(study: SlotStudy, metrics: Sequence[str]) -> dict[str, Draw]:
    """The plots of a study by name; those that would be empty are left out.

    Args:
        study: The study.
        metrics: The names of its objectives; the other plots show the first.
    """
    plain = _plain(study)
    done = plain.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    options: dict[str, Any] = {}
    if len(metrics) > 1:
        options = {"target": lambda t: t.values[0], "target_name": metrics[0]}
    plots = {
        f"front_{metric}": _front(plain, metrics, i)
        for i, metric in enumerate(metrics)
        if i and len(done) > 1
    }
    plots["optimization_history"] = _plot("optimization_history", plain, options)
    if len(done) >= ENOUGH_FOR_IMPORTANCE and len({t.values[0] for t in done}) > 1:
        plots["param_importances"] = _plot("param_importances", plain, options)
    if any(len(t.intermediate_values) > 1 for t in plain.get_trials(deepcopy=False)):
        plots["intermediate_values"] = _plot("intermediate_values", plain, {})
    plots["slice"] = _plot("slice", plain, options)
    return plots


def _plot(name: str, study: optuna.Study, options: dict[str, Any]) -> Draw:
    def draw(library: Any) -> Any:
        return getattr(library, f"plot_{name}")(study, **options)

    return draw


def _front(study: optuna.Study, metrics: Sequence[str], i: int) -> Draw:
    """The first objective against the i-th."""

    def draw(library: Any) -> Any:
        figure = library.plot_pareto_front(
            study,
            targets=lambda t: (t.values[i], t.values[0]),
            target_names=[metrics[i], metrics[0]],
        )
        if wide:
            log = getattr(figure, "set_xscale", None)
            log("log") if log else figure.update_xaxes(type="log")
        return figure

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    costs = [t.values[i] for t in done]
    wide = min(costs) > 0 and max(costs) > WIDE * min(costs)
    return draw


def _quietly(draw: Draw, library: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return draw(library)


def static_plots(study: SlotStudy, metrics: Sequence[str]) -> dict[str, Any]:
    """Matplotlib figures by name, of a study with a complete trial.

    Args:
        study: The study.
        metrics: The names of its objectives.
    """
    import matplotlib as mpl

    if "matplotlib.pyplot" not in sys.modules:  # else the user has chosen a backend
        mpl.use("Agg")
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as library

    figures = {}
    for name, draw in _plots(study, metrics).items():
        axes = _quietly(draw, library)
        figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
        if name != "slice":
            figure.set_size_inches(9, 5)
            figure.tight_layout()
        figures[name] = figure
        plt.close(figure)
    return figures


def interactive_plots(study: SlotStudy, metrics: Sequence[str]) -> dict[str, Any]:
    """Plotly figures by name (see `static_plots`)."""
    from optuna import visualization as library

    return {name: _quietly(draw, library) for name, draw in _plots(study, metrics).items()}
