"""Pictures of a study, drawn by Optuna's own plotting on the study as it stands."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from .slots import SlotStudy, by_slot, is_lost

ENOUGH_FOR_IMPORTANCE = 8


def _plain(study: SlotStudy) -> optuna.Study:
    """The ended trials as a plain study whose trial numbers are the slots.

    Optuna's plots index trials by their numbers, which have gaps where trials were lost.
    """
    plain = optuna.create_study(direction=study.direction)
    plain.add_trials([t for t in by_slot(study.all_trials()) if _has_ended(t)])
    return plain


def _has_ended(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and not is_lost(trial)


def _names(study: optuna.Study) -> list[str]:
    """What can be drawn of a study: pictures that would be empty are left out."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = ["optimization_history"]
    if len(done) >= ENOUGH_FOR_IMPORTANCE and len({t.value for t in done}) > 1:
        names.append("param_importances")
    if any(t.intermediate_values for t in study.get_trials(deepcopy=False)):
        names.append("intermediate_values")
    names.append("slice")
    return names


def _draw(library: Any, name: str, study: optuna.Study) -> Any:
    function: Callable[..., Any] = getattr(library, f"plot_{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(study)


def static_plots(study: SlotStudy) -> dict[str, Any]:
    """Matplotlib figures by name; none for a study without a complete trial."""
    import matplotlib as mpl

    if "matplotlib.pyplot" not in sys.modules:  # else the user has chosen a backend
        mpl.use("Agg")
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as library

    figures = {}
    plain = _plain(study)
    for name in _names(plain):
        axes = _draw(library, name, plain)
        figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
        if name != "slice":
            figure.set_size_inches(9, 5)
            figure.tight_layout()
        figures[name] = figure
        plt.close(figure)
    return figures


def interactive_plots(study: SlotStudy) -> dict[str, Any]:
    """Plotly figures by name."""
    from optuna import visualization as library

    plain = _plain(study)
    return {name: _draw(library, name, plain) for name in _names(plain)}
