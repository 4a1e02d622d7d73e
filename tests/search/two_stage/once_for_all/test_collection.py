"""Measured networks in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bequest.common.errors import EvaluationError
from bequest.search.two_stage.once_for_all.collection import Collection, random_network
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks


def test_each_network_is_measured_once_and_comes_back(tmp_path: Path) -> None:
    measured: list[bytes] = []

    def measure(networks: Networks, row: int) -> float:
        assert (len(networks), row) == (1, 0)
        measured.extend(networks.keys())
        return len(measured) / 10

    path, told = tmp_path / "sub" / "networks.jsonl", list[int]()
    draw = random_network(SMALL, 3)
    first = Collection(path, SMALL, measure).grow(2, draw, told.append)
    again = Collection(path, SMALL, measure)
    samples = again.grow(4, draw, told.append)
    assert told == [1, 2, 3, 4]
    assert samples.accuracies.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert samples.networks.keys() == measured
    assert first.networks.keys() == measured[:2]
    assert again.samples(3).networks.keys() == measured[:3]
    with path.open("a") as file:
        file.write('{"config": ')
    assert Collection(path, SMALL, measure).grow(5, draw).accuracies.tolist()[-1] == 0.5


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "networks.jsonl"
    collection = Collection(path, SMALL, lambda networks, row: 0.5)
    collection.grow(2, random_network(SMALL, 0))
    path.write_text("half\n" + path.read_text())
    with pytest.raises(EvaluationError, match="line 1 of 3"):
        collection.samples()


def test_a_number_is_a_network() -> None:
    draw = random_network(SMALL, 7)
    assert draw(3).keys() == draw(3).keys() != draw(4).keys()
    expected = Networks.sample(SMALL, 1, np.random.default_rng([7, 3]))
    assert draw(3).keys() == expected.keys()
