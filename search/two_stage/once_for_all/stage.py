"""Once-for-all search as the first stage of a study: how it is asked, logged and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....spaces import Space
from ...studies.trial import Trial
from ..protocol import Findings, Logged, Section, StageContext, StageSampler, TwoStageSearch

if TYPE_CHECKING:
    from .settings import OnceForAllSettings

SHOWN = 12
"""So many networks of the front are in the report's table."""


class OnceForAllSearch(TwoStageSearch["OnceForAllSettings"]):
    """APQ: train a once-for-all network, learn a predictor, evolve networks under limits."""

    key = "joint"

    def settings(self, method: str, space: Space, limits: Sequence[Any] = ()) -> OnceForAllSettings:
        from .settings import OnceForAllSettings

        return OnceForAllSettings(limits=tuple(limits))

    def sampler(self, settings: OnceForAllSettings, context: StageContext) -> StageSampler:
        from .sampler import make_once_for_all_sampler

        return make_once_for_all_sampler(settings, context)

    def curves(self, findings: Findings, epoch: Mapping[str, Any]) -> Mapping[str, float]:
        return {f"once_for_all/{name}": epoch[name] for name in ("loss", "seconds")}

    def logged(self, findings: Findings, trials: Sequence[Trial]) -> Logged:
        from .figures import once_for_all_figures

        metrics = {
            f"predictor/{name}": value
            for name, value in findings.get("predictor", {}).items()
            if isinstance(value, float)
        }
        documents: dict[str, Any] = {"joint/search.json": findings}
        if "feasible" in findings:
            metrics["evolution/feasible"] = findings["feasible"]
            metrics["evolution/calls"] = findings["calls"]
            chosen = [row for row in findings["candidates"] if row["targets"]]
            documents["joint/chosen.json"] = {"networks": chosen}
        figures = once_for_all_figures(findings, trials)
        return Logged(
            metrics,
            {"joint.limits": ", ".join(findings["limits"])},
            documents,
            {f"joint/{name}": figure for name, figure in figures.items()},
        )

    def section(self, findings: Findings, trials: Sequence[Trial]) -> Section:
        from .figures import TITLES, once_for_all_figures

        parts = [
            f"{findings.get('floats') or 0} networks measured as they were cut from the "
            f"once-for-all network, {findings.get('quantised') or 0} after fine-tuning with few "
            "bits"
        ]
        if findings["limits"]:
            parts.append(f"limits: {', '.join(findings['limits'])}")
        if findings.get("calls"):
            parts.append(
                f"{findings['calls']} networks predicted, {100 * findings['feasible']:.1f} % of "
                "children within their limits"
            )
        text = "; ".join(parts) + ". The best of each limit come first among the trials."
        rows = [
            {
                "trial": slot,
                "for": ", ".join(_words(limits) for limits in row["targets"]),
                "predicted": row["accuracy"],
                "spread": row["spread"],
                **row["costs"],
            }
            for slot, row in enumerate(findings.get("candidates", [])[:SHOWN])
        ]
        figures = once_for_all_figures(findings, trials)
        titled = {TITLES[name]: figure for name, figure in figures.items()}
        return Section("The once-for-all search", text, rows, titled)

    def targets(self, findings: Findings) -> list[dict[str, float]]:
        return [target for row in findings.get("candidates", []) for target in row["targets"]]


def _words(limits: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in limits.items())


ONCE_FOR_ALL = OnceForAllSearch()
