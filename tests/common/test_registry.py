"""Registries: entries of our own, of others, and things themselves."""

from __future__ import annotations

from typing import Any

import pytest

from bequest.common.errors import BequestError
from bequest.common.registry import register, resolve
from bequest.evaluators.datasets.catalogue import ENTRIES
from bequest.evaluators.datasets.kinds import KINDS
from bequest.evaluators.factory import EVALUATORS
from bequest.evaluators.fitted_model import KINDS as MODELS
from bequest.evaluators.task_families import FAMILIES
from bequest.search.samplers import SAMPLERS
from bequest.search.task_selection import SELECTORS
from bequest.search.two_stage import SEARCHES
from bequest.spaces.named import SPACES


def test_a_dot_means_below_the_package() -> None:
    assert resolve(".registry:resolve", "bequest.common") is resolve
    assert resolve("json:dumps", "bequest.common") is __import__("json").dumps
    assert resolve(resolve, "bequest.common") is resolve


def test_a_name_is_given_once() -> None:
    registry: dict[str, Any] = {}
    register(registry, "thing", "mine", 1)
    with pytest.raises(BequestError, match="there is a thing 'mine' already"):
        register(registry, "thing", "mine", 2)
    assert registry == {"mine": 1}


ENTRIES_OF_OURS = [
    *((entry, "bequest.evaluators") for entry in EVALUATORS.values()),
    *((entry, "bequest.evaluators") for entry in MODELS.values()),
    *((entry, "bequest.evaluators.task_families") for entry in FAMILIES.values()),
    *((entry, "bequest.spaces") for entry in SPACES.values()),
    *((entry, "bequest.search.task_selection") for entry in SELECTORS.values()),
    *((entry.loader, "bequest.evaluators.datasets") for entry in ENTRIES.values()),
    *((kind.make, "bequest.evaluators.datasets") for kind in KINDS.values() if kind.make),
    *((kind.from_file, "bequest.evaluators.datasets") for kind in KINDS.values() if kind.from_file),
]


@pytest.mark.parametrize(("entry", "package"), dict.fromkeys(ENTRIES_OF_OURS))
def test_what_is_registered_exists(entry: str, package: str) -> None:
    assert resolve(entry, package) is not None


def test_samplers_and_searches_exist() -> None:
    for registration in SAMPLERS.values():
        assert registration.load() is not None
    for search in SEARCHES.values():
        assert search.load().key
