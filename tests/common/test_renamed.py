"""Old names of public modules and classes: they work, with a warning."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from bequest import banks
from bequest.common.renamed import MODULES, NAMES
from bequest.search.samplers.transfer_gp import TransferGPSampler
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.search.surrogates.transfer_prior import TransferPrior
from tests.search.transfer_tasks import GRID, RELATED

OLD = sorted(MODULES)


@pytest.mark.parametrize("old", OLD)
def test_an_old_module_stands_for_the_new_one(old: str) -> None:
    sys.modules.pop(f"bequest.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"bequest.{old} is called bequest.{MODULES[old]}"):
        module = importlib.import_module(f"bequest.{old}")
    new = importlib.import_module(f"bequest.{MODULES[old]}")
    for name in (n for n in vars(new) if not n.startswith("_")):
        if name not in NAMES.get(old, {}):
            assert getattr(module, name) is getattr(new, name)
    for name, target in NAMES.get(old, {}).items():
        assert getattr(module, name) is getattr(new, target)
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


def test_no_new_module_has_an_old_ones_place() -> None:
    root = Path(banks.__file__).parents[1]
    for old in OLD:
        path = root / old.replace(".", "/")
        assert not path.with_suffix(".py").exists()
        assert not (path / "__init__.py").exists()


def test_the_banks_old_names() -> None:
    with pytest.warns(DeprecationWarning, match=r"bequest.banks.Inheritance is called .*Prior"):
        assert banks.Inheritance is TransferPrior
    with pytest.warns(DeprecationWarning, match="bequest.banks.DesignPrior"):
        assert banks.DesignPrior is DesignPrior
    with pytest.raises(AttributeError, match="no attribute 'Inheritanc'"):
        banks.Inheritanc  # noqa: B018


def test_the_documented_transfer_sampler_of_version_0_1() -> None:
    with pytest.warns(DeprecationWarning, match="TransferPrior"):
        prior = banks.Inheritance(RELATED)
    assert TransferGPSampler(GRID, prior, seed=0).prior is prior
