"""Names of version 0.1.0 still work, with a warning that gives the new one."""

from __future__ import annotations

import importlib
import sys
import warnings

import pytest

from bequest.common.renamed import MODULES, NAMES

NEW_NAMES = [
    (old, name, new)
    for old, names in NAMES.items()
    for name, new in names.items()
    if old in MODULES
]


@pytest.mark.parametrize("old", MODULES)
def test_old_modules_import(old: str) -> None:
    sys.modules.pop(f"bequest.{old}", None)
    with pytest.warns(
        DeprecationWarning, match=rf"bequest\.{old} is called bequest\.{MODULES[old]}"
    ):
        module = importlib.import_module(f"bequest.{old}")
    new = importlib.import_module(f"bequest.{MODULES[old]}")
    for name in vars(new):
        if not name.startswith("_"):
            assert getattr(module, name) is getattr(new, name)


@pytest.mark.parametrize(("old", "name", "new"), NEW_NAMES)
def test_old_names_in_them(old: str, name: str, new: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module(f"bequest.{old}")
    expected = getattr(importlib.import_module(f"bequest.{MODULES[old]}"), new)
    assert getattr(module, name) is expected


def test_what_version_0_1_documented() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from bequest.banks import Bank, BankTask, Inheritance, Record
        from bequest.errors import BequestError
        from bequest.evaluators.elastic.budget import ElasticBudget
        from bequest.search.joint.settings import Settings as JointSettings
        from bequest.search.limits import parse_limit
        from bequest.search.relaxed.settings import Cures, Settings
        from bequest.search.relaxed.width import search_widths

        settings = Settings(method="rarts", epochs=20, cures=Cures(warmup=3, max_skips=2))
    assert settings.regularisation.max_skips == 2
    assert JointSettings(limits=(parse_limit("latency=0.3ms"),)).limits[0].value == 0.3
    for thing in (Bank, BankTask, Inheritance, Record, BequestError, ElasticBudget, search_widths):
        assert callable(thing)


def test_unknown_names_are_unknown() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("bequest.search.relaxd")
    with pytest.raises(AttributeError, match="no attribute 'Inheritence'"):
        importlib.import_module("bequest.banks").Inheritence  # noqa: B018
