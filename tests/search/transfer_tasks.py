"""Related tasks on a grid of choices, which tests of transfer share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from optuna.distributions import CategoricalDistribution

from bequest.banks.record import BankTask
from bequest.banks.scores import Scores
from bequest.spaces import Config, Parameter, Space

Function = Callable[[Config], float]

GRID = Space(
    "grid", [Parameter(n, CategoricalDistribution(list("abcd"))) for n in ("p", "q", "r", "s")]
)
CONFIGS = tuple(GRID.enumerate())


def bank_of(space: Space, functions: Sequence[Function], configs: tuple[Config, ...]) -> Scores:
    values = np.array([[f(c) for c in configs] for f in functions])
    tasks = tuple(BankTask(f"task{i}", "accuracy") for i in range(len(functions)))
    return Scores(space, tasks, configs, values, ("",) * len(configs))


def effects(seed: int) -> dict[tuple[str, str], float]:
    rng = np.random.default_rng(seed)
    return {key: rng.normal() for key in itertools.product("pqrs", "abcd")}


def additive(seed: int, noise: float = 0.3) -> Function:
    table, noises = effects(0), np.random.default_rng(seed)
    drawn = {tuple(c.values()): noise * noises.normal() for c in CONFIGS}
    return lambda c: sum(table[k, str(v)] for k, v in c.items()) + drawn[tuple(c.values())]


RELATED = bank_of(GRID, [additive(seed) for seed in range(1, 7)], CONFIGS)
