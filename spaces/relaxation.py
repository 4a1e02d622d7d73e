"""Relaxed spaces: the strengths that a one-shot search learns, and the configuration they name.

A *decision* is a choice between options with one strength (an alpha, or what its removal costs)
each. In most spaces a decision is a parameter; DARTS' cells decide on every possible edge and keep
the two strongest into each node.
"""

from __future__ import annotations

import heapq
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np
from optuna.distributions import CategoricalDistribution

from ..common.errors import ConfigurationError, SpaceError
from .cell import DARTS_CELLS, DARTS_NODES, DARTS_OPERATIONS, NONE, SKIP, darts_edges, darts_space
from .parameter import Config
from .space import Space

SKIPS = (SKIP, "skip")
"""What a skip connection is called, on images and on graphs."""

Strengths = Mapping[str, np.ndarray]
Pick = tuple[str, str]
"""A decision and the option that was taken."""


class Relaxation(ABC):
    """What relaxed search needs to know of a space.

    Attributes:
        space: The configurations that strengths may name.
        decisions: The options of each decision, by its name.
    """

    space: Space
    decisions: dict[str, tuple[str, ...]]

    @abstractmethod
    def choose(self, strengths: Strengths) -> Config:
        """The strongest configuration, which need not be valid.

        Args:
            strengths: ``[options]`` by decision; only their order and differences count.
        """

    @abstractmethod
    def picks(self, config: Config) -> list[Pick]:
        """The decisions that a configuration depends on, and the option of each."""

    def skips(self, config: Config) -> list[Pick]:
        """The picks that are skip connections."""
        return [pick for pick in self.picks(config) if pick[1] in SKIPS]

    def strength(self, config: Config, strengths: Strengths) -> float:
        """The sum over a configuration's picks."""
        return sum(
            float(strengths[decision][self.decisions[decision].index(option)])
            for decision, option in self.picks(config)
        )

    def ranked(self, strengths: Strengths, max_skips: int | None = None) -> Iterator[Config]:
        """The valid configurations, strongest first.

        Args:
            strengths: ``[options]`` by decision.
            max_skips: Leave out configurations with more skip connections; where the strongest has
                more, its weakest skips are given up first (Chen et al., *P-DARTS*, ICCV 2019).
        """
        if max_skips is not None:
            strengths = self._capped(strengths, max_skips)
        numbers = itertools.count()
        first = self.choose(strengths)
        heap = [(-self.strength(first, strengths), next(numbers), first, frozenset[Pick]())]
        seen: set[frozenset[Pick]] = {frozenset()}
        given: set[frozenset[Pick]] = set()
        while heap:
            loss, _, config, without = heapq.heappop(heap)
            if math.isinf(loss):
                return  # nothing is left that was not given up
            names = frozenset(self.picks(config))
            if names not in given and self._allowed(config, max_skips):
                given.add(names)
                yield config
            for pick in self.picks(config):
                less = without | {pick}
                if less not in seen:
                    seen.add(less)
                    weaker = self._without(strengths, less)
                    other = self.choose(weaker)
                    entry = (-self.strength(other, weaker), next(numbers), other, less)
                    heapq.heappush(heap, entry)

    def _allowed(self, config: Config, max_skips: int | None) -> bool:
        try:
            self.space.validate(config)
        except ConfigurationError:
            return False
        return max_skips is None or len(self.skips(config)) <= max_skips

    def _capped(self, strengths: Strengths, max_skips: int) -> Strengths:
        while len(skips := self.skips(self.choose(strengths))) > max_skips:
            weakest = min(skips, key=lambda pick: self._of(strengths, pick))
            strengths = self._without(strengths, {weakest})
        return strengths

    def _of(self, strengths: Strengths, pick: Pick) -> float:
        return float(strengths[pick[0]][self.decisions[pick[0]].index(pick[1])])

    def _without(self, strengths: Strengths, picks: frozenset[Pick] | set[Pick]) -> Strengths:
        weaker = dict(strengths)
        for decision, option in picks:
            weaker[decision] = weaker[decision].copy()
            weaker[decision][self.decisions[decision].index(option)] = -math.inf
        return weaker


class ChoiceRelaxation(Relaxation):
    """One decision a parameter: NAS-Bench-201's cell, NAS-Bench-Graph's networks.

    Args:
        space: Categorical parameters without conditions.

    Raises:
        SpaceError: A parameter is numeric or conditional.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.decisions = {}
        for p in space.parameters:
            if not isinstance(p.distribution, CategoricalDistribution) or p.condition:
                raise SpaceError(
                    f"space {space.name!r} cannot be relaxed: parameter {p.name!r} is not a plain "
                    "choice; use another sampler"
                )
            self.decisions[p.name] = tuple(str(choice) for choice in p.distribution.choices)

    def choose(self, strengths: Strengths) -> Config:
        return {
            name: options[int(np.argmax(strengths[name]))]
            for name, options in self.decisions.items()
        }

    def picks(self, config: Config) -> list[Pick]:
        return [(name, str(config[name])) for name in self.decisions]


class DartsRelaxation(Relaxation):
    """One decision a possible edge, ``normal3_1`` from node 1 to node 3, and "none" among them.

    A node keeps its two strongest edges, each by its strongest operation but "none".
    """

    def __init__(self) -> None:
        self.space = darts_space()
        options = (NONE, *DARTS_OPERATIONS)
        self.decisions = {
            f"{cell}{node}_{i}": options
            for cell in DARTS_CELLS
            for node in DARTS_NODES
            for i in range(node)
        }

    def choose(self, strengths: Strengths) -> Config:
        config: Config = {}
        for cell, node in itertools.product(DARTS_CELLS, DARTS_NODES):
            name = f"{cell}{node}"
            best = [float(strengths[f"{name}_{i}"][1:].max()) for i in range(node)]
            pair = sorted(np.argsort([-b for b in best], kind="stable")[:2].tolist())
            if node > 2:
                config[f"{name}_inputs"] = "".join(map(str, pair))
            for k, i in enumerate(pair):
                strongest = int(np.argmax(strengths[f"{name}_{i}"][1:]))
                config[f"{name}_op{k}"] = DARTS_OPERATIONS[strongest]
        return config

    def picks(self, config: Config) -> list[Pick]:
        return [
            (f"{cell}{to}_{source}", operation)
            for cell in DARTS_CELLS
            for source, to, operation in darts_edges(config, cell)
        ]


def relaxation_of(space: Space) -> Relaxation:
    """The relaxation of a space.

    Raises:
        SpaceError: It has parameters that are no plain choices.
    """
    return DartsRelaxation() if space == darts_space() else ChoiceRelaxation(space)
