"""Which networks are measured next."""

from __future__ import annotations

from typing import cast

import numpy as np

from bequest.search.two_stage.once_for_all.active_learning import (
    BATCH,
    grow_actively,
    least_known,
)
from bequest.search.two_stage.once_for_all.archive import Archive
from bequest.search.two_stage.once_for_all.collection import Collection
from bequest.search.two_stage.once_for_all.evolution import Evolution
from bequest.search.two_stage.once_for_all.predictor import Predictor, Samples
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks, joined


class Front:
    """An evolution that has come to its front already."""

    def __init__(self, front: Networks, mutants: Networks) -> None:
        self._front, self._mutants = front, mutants

    def run(self) -> Archive:
        archive = Archive()
        archive.networks = self._front
        return archive

    def mutants(self, networks: Networks, rng: np.random.Generator) -> Networks:
        assert networks is self._front
        return self._mutants


class Doubtful:
    """A predictor whose spread is a known number for each network."""

    def __init__(self, networks: Networks) -> None:
        self._place = {key: i for i, key in enumerate(networks.keys())}

    def predict(self, networks: Networks) -> tuple[np.ndarray, np.ndarray]:
        keys = networks.keys()
        spread = np.array([float(self._place[key]) for key in keys])
        return -spread, spread


def chosen(known: int = 1, size: int = 60) -> tuple[list[bytes], Networks]:
    pool = Networks.sample(SMALL, size, np.random.default_rng(0))
    evolution = cast(Evolution, Front(pool[: size // 2], pool[size // 2 :]))
    samples = Samples(pool[:known], np.zeros(known))
    predictor = cast(Predictor, Doubtful(pool))
    picked = least_known(evolution, predictor, samples, np.random.default_rng(1))
    return picked.keys(), pool


def test_the_least_certain_of_each_group_are_measured() -> None:
    keys, pool = chosen()
    assert len(set(keys)) == len(keys) == BATCH
    place = {key: i for i, key in enumerate(pool.keys())}
    spreads = sorted(place[key] for key in keys)
    assert spreads[-1] == 59, "the least certain of all is the least certain of its group"
    order = np.random.default_rng(1).permutation(59) + 1  # the first one is known
    assert spreads == sorted(int(group.max()) for group in np.array_split(order, BATCH))


def test_what_is_measured_already_is_left_out_while_others_are_enough() -> None:
    keys, pool = chosen(known=45)
    assert not set(keys) & set(pool[:45].keys())
    few, pool = chosen(known=55)
    assert set(few) & set(pool[:55].keys()), "fewer new ones than a batch: known ones again"


def test_batches_are_chosen_when_all_before_them_is_known(tmp_path: object) -> None:
    pool = Networks.sample(SMALL, 100, np.random.default_rng(2))
    drawn = Samples(pool[:5], np.arange(5.0))
    asked: list[tuple[int, int]] = []

    class Memory:
        """A collection without a file."""

        def __init__(self) -> None:
            self.networks: list[Networks] = []

        def rows(self) -> list[object]:
            return list(self.networks)

        def grow(self, count: int, choose: object, after_each: object) -> None:
            while len(self.networks) < count:
                self.networks.append(choose(len(self.networks))[:1])  # type: ignore[operator]
                after_each(len(self.networks))  # type: ignore[operator]

        def samples(self, count: int) -> Samples:
            return Samples(joined(self.networks[:count]), np.full(count, 0.5))

    def choose(samples: Samples, number: int) -> Networks:
        asked.append((len(samples), number))
        return pool[10 + number : 20 + number]

    collection = Memory()
    told: list[int] = []
    samples = grow_actively(cast(Collection, collection), 25, drawn, choose, told.append)
    assert asked == [(5, 0), (15, 10), (25, 20)]
    assert told == [*range(6, 31)]
    assert samples.networks.keys() == pool[[*range(5), *range(10, 35)]].keys()
    again = grow_actively(cast(Collection, collection), 25, drawn, choose, told.append)
    assert again.networks.keys() == samples.networks.keys()
    assert len(asked) == 3, "what is there is not chosen again"
