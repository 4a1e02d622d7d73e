"""Searches in two stages: a plain dict names their samplers; they load when they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...common.registry import register, resolve
from ..studies.record import StudyRecord, best_of, meets

if TYPE_CHECKING:
    from .protocol import Findings, TwoStageSearch


@dataclass(frozen=True)
class Entry:
    """A search in two stages, as it is registered.

    Attributes:
        where: Its `protocol.TwoStageSearch`, or the ``.module:name`` of it below this package.
        uses_bank: Whether other tasks' records change what it does.
        takes_limits: Whether limits on costs belong to its settings.
    """

    where: str | TwoStageSearch[Any]
    uses_bank: bool = False
    takes_limits: bool = False

    def load(self) -> TwoStageSearch[Any]:
        """The search itself."""
        search: TwoStageSearch[Any] = resolve(self.where, __name__)
        return search


SEARCHES = {
    **dict.fromkeys(
        ("rarts", "rarts-literal", "darts-1", "darts-2"), Entry(".one_shot.stage:ONE_SHOT")
    ),
    "apq": Entry(".once_for_all.stage:ONCE_FOR_ALL", uses_bank=True, takes_limits=True),
}
"""The searches by the names of their samplers."""


def register_search(method: str, entry: Entry) -> None:
    """Add a search of one's own; ``del SEARCHES[method]`` takes it out again.

    Args:
        method: The name of its sampler.
        entry: The search, and what it takes.

    Raises:
        BequestError: The name is taken.
    """
    register(SEARCHES, "search in two stages", method, entry)


@dataclass(frozen=True)
class Stage:
    """The first stage of a stored study."""

    search: TwoStageSearch[Any]
    findings: Findings


def stage_of(record: StudyRecord) -> Stage | None:
    """The first stage of a study, if it has one that has begun."""
    entry = SEARCHES.get(record.identity["sampler"])
    if entry is None:
        return None
    search = entry.load()
    findings = record.findings(search.key)
    return Stage(search, findings) if findings else None


def target_rows(record: StudyRecord) -> list[dict[str, Any]]:
    """The best trial within each set of limits that was asked for: limits, trial, value, costs."""
    stage = stage_of(record)
    if stage is None:
        return []
    rows = []
    trials = record.trials
    for target in stage.search.targets(stage.findings):
        within = [t for t in trials if meets(t, target)]
        best = best_of(within, record.direction, record.minimize)
        if best is not None:
            names = stage.findings["candidates"][0]["costs"]
            costs = {name: best.metrics[name] for name in names if name in best.metrics}
            limits = ", ".join(f"{name} {value:g}" for name, value in target.items())
            rows.append({"within": limits, "trial": best.slot, record.metric: best.value} | costs)
    return rows
