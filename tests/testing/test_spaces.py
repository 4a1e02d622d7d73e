"""Every space of Bequest passes the suite for spaces."""

from __future__ import annotations

from typing import Any

import pytest

from bequest.evaluators.peft.space import peft_space
from bequest.spaces import Space
from bequest.spaces.gnn import gnn_space
from bequest.spaces.named import SPACES, make_space
from bequest.testing.spaces import SpaceSuite


class TestNamedSpaces(SpaceSuite):
    @pytest.fixture(scope="class", params=sorted(SPACES))
    def space(self, request: pytest.FixtureRequest) -> Any:
        return make_space(request.param)


class TestGraphSpaces(SpaceSuite):
    @pytest.fixture(params=["node", "graph", "link"])
    def space(self, request: pytest.FixtureRequest) -> Any:
        return gnn_space(request.param)


class TestLimitedSpace(SpaceSuite):
    """With aliases: a limit has raised where some methods begin."""

    @pytest.fixture
    def space(self) -> Space:
        return peft_space(6, ["probe", "lora", "lst", "das"], lowest={"lora": 3})
