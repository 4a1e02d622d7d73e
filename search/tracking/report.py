"""A study on one self-contained HTML page: pictures, the best configuration, every trial."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from ...common.errors import StudyError
from ...common.figures import as_svg
from ...common.version import __version__
from ..studies.record import StudyRecord, best_of
from ..studies.trial import COMPLETE, FAILED, Trial
from ..two_stage import stage_of
from .plots import interactive_plots

TITLES = {
    "optimization_history": "Best value, trial by trial",
    "param_importances": "Which choices mattered",
    "intermediate_values": "Learning curves",
    "slice": "Value by choice",
}


def write_report(study: StudyRecord, path: Path) -> Path:
    """Write the page and return its path. It needs no network to be read.

    Raises:
        StudyError: It cannot be written there.
    """
    trials = study.trials
    best = best_of(trials, study.direction, study.minimize)
    page = _template().render(
        study=study,
        identity=study.identity,
        best=best,
        front=study.front if study.minimize else [],
        trials=trials,
        counts=_counts(trials),
        sources=study.source_weights,
        most=max((abs(row["weight"]) for row in study.source_weights), default=0.0) or 1.0,
        columns=_columns(trials),
        plots=_plots(study) if best else [],
        section=_section(study, trials),
        metrics=_metric_names(trials),
        seconds=_seconds(trials),
        version=__version__,
        now=datetime.now().strftime("%Y-%m-%d %H:%M"),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StudyError(
            f"the report cannot be written to {str(path)!r} ({error.strerror}): name a file in a "
            "folder that can be written"
        ) from error
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template("report.html.j2")


def _plots(study: StudyRecord) -> list[tuple[str, str]]:
    """(title, HTML) of each picture; the first carries the plotting library for all."""
    plots: list[tuple[str, str]] = []
    for name, figure in interactive_plots(study.optuna_study, study.objectives).items():
        figure.update_layout(title=None, margin={"t": 20}, template="plotly_white")
        html = figure.to_html(full_html=False, include_plotlyjs="inline" if not plots else False)
        plots.append((_title(name), html))
    return plots


def _title(name: str) -> str:
    return TITLES[name] if name in TITLES else f"Front: {name.removeprefix('front_')}"


def _section(study: StudyRecord, trials: list[Trial]) -> dict[str, Any] | None:
    """The part of a first stage, its figures as SVG; ``None`` if the study has none."""
    stage = stage_of(study)
    if stage is None:
        return None
    section = stage.search.section(stage.findings, trials)
    return {
        "title": section.title,
        "text": section.text,
        "rows": section.rows,
        "figures": [(title, as_svg(figure)) for title, figure in section.figures.items()],
    }


def _columns(trials: list[Trial]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.config))


def _metric_names(trials: list[Trial]) -> list[str]:
    """Test metrics are left out: the choice must not be made by looking at them."""
    names = dict.fromkeys(name for trial in trials for name in trial.metrics)
    return [name for name in names if not name.startswith("test_")]


def _counts(trials: list[Trial]) -> dict[str, int]:
    states = dict.fromkeys([COMPLETE, FAILED, *(t.state for t in trials)])
    return {state: sum(t.state == state for t in trials) for state in states}


def _seconds(trials: list[Trial]) -> float:
    return sum((t.finished - t.started).total_seconds() for t in trials if t.started and t.finished)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:.4g}"
    return "" if value is None else str(value)
