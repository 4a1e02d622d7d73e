"""Old names of public modules, for this release: they import, with a `DeprecationWarning`.

``bequest.search.relaxed.settings`` is `bequest.search.two_stage.one_shot.settings` now, and its
``Settings`` is ``OneShotSettings``. Importing an old module gives a stand-in that looks each name
up in the new one.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec

ONE_SHOT, ONCE_FOR_ALL = "search.two_stage.one_shot", "search.two_stage.once_for_all"

MODULES = {
    "databases": "common.databases",
    "errors": "common.errors",
    "home": "common.home",
    "threads": "common.threads",
    "banks.inheritance": "search.surrogates.transfer_prior",
    "banks.prior": "search.surrogates.design_prior",
    "evaluators.choice": "evaluators.factory",
    "evaluators.elastic": "evaluators.once_for_all",
    "evaluators.elastic.budget": "evaluators.once_for_all.budget",
    "evaluators.elastic.evaluator": "evaluators.once_for_all.evaluator",
    "evaluators.models": "evaluators.fitted_model",
    "evaluators.policy": "evaluators.task_families.control",
    "evaluators.rotated_digits": "evaluators.task_families.rotated_digits",
    "evaluators.tuning": "evaluators.finetuning",
    "evaluators.tuning.training": "evaluators.finetuning.training",
    "search.heritage": "search.transfer.sources",
    "search.joint": ONCE_FOR_ALL,
    "search.joint.settings": f"{ONCE_FOR_ALL}.settings",
    "search.limits": "evaluators.limits",
    "search.mlflow_client": "search.tracking.mlflow_client",
    "search.record": "search.studies.record",
    "search.relaxed": ONE_SHOT,
    "search.relaxed.darts": f"{ONE_SHOT}.darts",
    "search.relaxed.exact": f"{ONE_SHOT}.exact",
    "search.relaxed.problem": f"{ONE_SHOT}.problem",
    "search.relaxed.rarts": f"{ONE_SHOT}.rarts",
    "search.relaxed.settings": f"{ONE_SHOT}.settings",
    "search.relaxed.width": f"{ONE_SHOT}.width",
    "search.report": "search.tracking.report",
    "search.storage": "search.execution.storage",
    "search.trial": "search.studies.trial",
    "spaces.peft": "evaluators.peft.space",
}
"""New names of documented modules by their old ones, below ``bequest``."""

NAMES: dict[str, dict[str, str]] = {
    "banks.inheritance": {"Inheritance": "TransferPrior", "inheritance_of": "transfer_prior_of"},
    "search.heritage": {"Heritage": "SourceTasks"},
    "search.joint.settings": {"Settings": "OnceForAllSettings"},
    "search.relaxed.settings": {
        "Settings": "settings_of_version_0_1",
        "Cures": "Regularisation",
        "Rates": "OptimiserSettings",
    },
}
"""New names within a module by the old ones, by the old module."""


FINDINGS = ("relaxed", "joint")
"""Attributes that a `StudyRecord` had for the findings of each kind of first stage."""


def install() -> None:
    """Let the old modules be imported."""
    sys.meta_path.insert(0, _Finder())


def renamed_attribute(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` for names that have moved.

    Args:
        module: Its ``__name__``.
        names: ``MODULE:NAME`` below ``bequest`` by the old name.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        where, new = names[name].split(":")
        warn_of_renamed(f"{module}.{name}", f"bequest.{where}.{new}")
        return getattr(importlib.import_module(f"bequest.{where}"), new)

    return get


class _Finder:
    """A finder of the import system; without its base class, whose import takes milliseconds."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != "bequest" or name not in MODULES:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(fullname, _Loader(name), is_package=True)  # type: ignore[arg-type]


class _Loader:
    def __init__(self, old: str) -> None:
        self.old = old

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        new = importlib.import_module(f"bequest.{MODULES[self.old]}")
        names = NAMES.get(self.old, {})
        warn_of_renamed(module.__name__, new.__name__)

        def get(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return getattr(new, names.get(name, name))

        module.__dict__["__getattr__"] = get


def warn_of_renamed(old: str, new: str) -> None:
    """Warn that a name is that of an earlier version."""
    warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=4)
