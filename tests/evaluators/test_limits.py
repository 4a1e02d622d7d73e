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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("latency=1ms", 1.0), ("latency=500us", 0.5), ("latency=2s", 2000.0)),
        *(("energy=3mJ", 3.0), ("energy=40uJ", 0.04), ("energy=1J", 1000.0)),
        *(("size=7B", 7.0), ("size=7kB", 7e3), ("size=7KB", 7e3), ("size=7MB", 7e6)),
        *(("size=7GB", 7e9), ("size=1KiB", 1024.0), ("size=1MiB", 2.0**20)),
        *(("size=1GiB", 2.0**30), ("parameters=3k", 3e3), ("parameters=3K", 3e3)),
        *(("parameters=3M", 3e6), ("parameters=3G", 3e9), ("parameters=3", 3.0)),
    ],
)
def test_every_unit_is_worth_what_it_is_worth(text: str, value: float) -> None:
    assert parse_limit(text).value == pytest.approx(value)
