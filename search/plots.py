"""Pictures of a study, drawn by Optuna's own plotting on the study as it stands."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from optuna.trial import TrialState

from .slots import SlotStudy

ENOUGH_FOR_IMPORTANCE = 8


def _names(study: SlotStudy) -> list[str]:
    """What can be drawn of a study: pictures that would be empty are left out."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = ["optimization_history"]
    if len(done) >= ENOUGH_FOR_IMPORTANCE and len({t.value for t in done}) > 1:
        names.append("param_importances")
    if any(t.intermediate_values for t in study.get_trials(deepcopy=False)):
        names.append("intermediate_values")
    names.append("slice")
    return names


def _draw(library: Any, name: str, study: SlotStudy) -> Any:
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
    for name in _names(study):
        axes = _draw(library, name, study)
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

    return {name: _draw(library, name, study) for name in _names(study)}
