"""One-shot search as the first stage of a study: how it is asked, logged and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....spaces import Space
from ...studies.trial import Trial
from ..protocol import Findings, Logged, Section, StageContext, StageSampler, TwoStageSearch

if TYPE_CHECKING:
    from .settings import OneShotSettings

CURVES = ("train_loss", "validation_loss", "entropy", "eigenvalue", "seconds")
SHOWN = 8
"""So many derived architectures are in the report's table."""


class OneShotSearch(TwoStageSearch["OneShotSettings"]):
    """DARTS and RARTS: train a supernet, derive architectures from it."""

    key = "relaxed"

    def settings(self, method: str, space: Space, limits: Sequence[Any] = ()) -> OneShotSettings:
        from .settings import default_settings

        return default_settings(method, space)

    def sampler(self, settings: OneShotSettings, context: StageContext) -> StageSampler:
        from .sampler import make_one_shot_sampler

        return make_one_shot_sampler(settings, context)

    def curves(self, findings: Findings, epoch: Mapping[str, Any]) -> Mapping[str, float]:
        curves = {f"relaxed/{name}": epoch[name] for name in CURVES if epoch[name] is not None}
        for decision, alphas in epoch["alphas"].items():
            names = (f"alpha/{decision}/{option}" for option in findings["options"][decision])
            curves |= dict(zip(names, alphas, strict=True))
        return curves

    def logged(self, findings: Findings, trials: Sequence[Trial]) -> Logged:
        from .figures import one_shot_figures

        if not findings.get("epochs"):
            return Logged()
        collapse = findings.get("collapse")
        return Logged(
            tags={} if collapse is None else {"relaxed.collapse": collapse},
            documents={"relaxed/search.json": findings},
            figures={f"relaxed/{n}": figure for n, figure in one_shot_figures(findings).items()},
        )

    def section(self, findings: Findings, trials: Sequence[Trial]) -> Section:
        from .figures import TITLES, one_shot_figures

        epochs = findings.get("epochs", [])
        collapse = f"; {findings['collapse']}" if "collapse" in findings else ""
        text = (
            f"{findings['method']}, {len(epochs)} of {findings['planned']} epochs{collapse}. Its "
            "architectures are trained from scratch as trials, beside random ones; what the "
            "supernet itself scores is no result."
        )
        rows = [
            {
                "rank": rank,
                "origin": row["origin"],
                "architecture": " ".join(map(str, row["config"].values())),
            }
            for rank, row in enumerate(findings.get("candidates", [])[:SHOWN], 1)
        ]
        figures = one_shot_figures(findings) if epochs else {}
        titled = {TITLES[name]: figure for name, figure in figures.items()}
        return Section("The one-shot search", text, rows, titled)


ONE_SHOT = OneShotSearch()
