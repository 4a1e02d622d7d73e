"""Limits as people write them."""

from __future__ import annotations

import pytest

from bequest.common.errors import StudyError, UnknownNameError
from bequest.evaluators.limits import Limit, check_limits, parse_limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency=2.0ms", Limit("latency", 2.0, "ms")),
        ("latency=1e-3s", Limit("latency", 1.0, "ms")),
        ("memory=1.5GB", Limit("memory", 1.5e9, "B")),
        ("size=64KiB", Limit("size", 65536.0, "B")),
        ("parameters=2M", Limit("parameters", 2e6)),
        ("energy=3 mJ", Limit("energy", 3.0, "mJ")),
    ],
)
def test_a_limit_is_read_in_its_base_unit(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["latency", "latency=", "=2ms", "latency=-2ms", "latency=0"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match="limit "):
        parse_limit(text)


def test_an_unknown_unit_has_a_remedy() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ms'"):
        parse_limit("latency=2mss")


def test_a_limit_must_name_a_cost_in_its_own_unit() -> None:
    known = {"latency": "ms", "size": "B"}
    check_limits([Limit("latency", 2.0, "ms"), Limit("size", 3.0)], known)
    with pytest.raises(UnknownNameError, match="did you mean 'latency'"):
        check_limits([Limit("latencyy", 2.0, "ms")], known)
    with pytest.raises(StudyError, match="is in mJ, but latency is in ms"):
        check_limits([Limit("latency", 2.0, "mJ")], known)
