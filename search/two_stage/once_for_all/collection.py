"""Measured networks in a file, one a line: the samples of predictors, none measured twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from ....common.errors import EvaluationError
from ....spaces import Config
from ....spaces.elastic import Geometry
from ....spaces.elastic_genes import Networks
from .predictor import Samples

Measure = Callable[[Networks, int], float]
"""The accuracy of one of several networks, by its row."""


class Collection:
    """A growing set of measured networks.

    A line is written as soon as a network is measured: a killed process loses only the network that
    it was measuring. Studies on the same once-for-all network share the file.

    Args:
        path: A file of JSON lines; made where it is missing.
        geometry: What the networks are of.
        measure: Measures one.
    """

    def __init__(self, path: Path, geometry: Geometry, measure: Measure) -> None:
        self.path = path
        self.geometry = geometry
        self._measure = measure

    def rows(self) -> list[dict[str, object]]:
        """``config``, ``accuracy`` and ``seconds`` (CPU) of each network so far."""
        if not self.path.exists():
            return []
        rows = []
        lines = self.path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                if number == len(lines):
                    break  # half a line, from a kill: that network is measured again
                raise EvaluationError(
                    f"line {number} of {len(lines)} in {self.path} is broken: take it out, or "
                    "delete the file to measure its networks again"
                ) from None
        return rows

    def samples(self, count: int | None = None) -> Samples:
        """The first ``count`` networks and their accuracies; by default all."""
        rows = self.rows()[:count]
        configs: list[Config] = [row["config"] for row in rows]  # type: ignore[misc]
        accuracies = np.array([row["accuracy"] for row in rows], dtype=float)
        return Samples(Networks.of(self.geometry, configs), accuracies)

    def grow(
        self,
        count: int,
        choose: Callable[[int], Networks],
        after_each: Callable[[int], object] = lambda _: None,
    ) -> Samples:
        """Measure until there are ``count``.

        Args:
            count: How many there shall be in all.
            choose: Gives the network of a number (from 0), as the first of those it returns.
            after_each: Told how many there are.

        Raises:
            EvaluationError: The file is broken.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            rows = self.rows()
            whole = "".join(json.dumps(row) + "\n" for row in rows)
            if self.path.exists() and self.path.read_text() != whole:
                part = self.path.with_suffix(".part")  # half a line at the end is cut off
                part.write_text(whole)
                part.replace(self.path)
            while len(rows) < count:
                network = choose(len(rows))[:1]
                began = time.process_time()
                accuracy = self._measure(network, 0)
                row: dict[str, object] = {"config": network.configs()[0], "accuracy": accuracy}
                rows.append({**row, "seconds": round(time.process_time() - began, 3)})
                with self.path.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                after_each(len(rows))
        return self.samples(count)


def random_network(geometry: Geometry, seed: int) -> Callable[[int], Networks]:
    """The network of each number, drawn by (seed, number)."""
    return lambda number: Networks.sample(geometry, 1, np.random.default_rng([seed, number]))
