"""AutoTransfer's prior: the choices of the best designs of the most similar tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from optuna.distributions import CategoricalDistribution

from ...banks.scores import Scores
from ...common.errors import BankError
from ...spaces import Config, Parameter, Space
from ...spaces.encoding import draw
from ...spaces.parameter import Value

NEAREST, TOP = 3, 16
EPSILON = 0.05
"""The share of uniform draws: without it, choices that no top design has would never be drawn."""


class DesignPrior:
    """A product of one distribution a parameter.

    ``P(c) = (1 - eps) sum_i p_i(c) / d_i / sum_i 1 / d_i + eps / choices``: ``p_i(c)`` is the share
    of choice c among the best designs, by validation, of the i-th nearest task, ``d_i`` its
    distance. A numeric parameter takes a value of one of those designs.

    Source: Cao et al., *AutoTransfer: AutoML with Knowledge Transfer*, ICLR 2023.

    Args:
        scores: The source tasks' scores of the space; the new task is not among them.
        similarity: Each task's similarity with the new one, at most 1, by name.
        nearest: The number of source tasks in the prior.
        top: The number of designs of each.
        epsilon: The share of uniform draws.

    Raises:
        BankError: No task has scores.
    """

    def __init__(
        self,
        scores: Scores,
        similarity: Mapping[str, float],
        *,
        nearest: int = NEAREST,
        top: int = TOP,
        epsilon: float = EPSILON,
    ) -> None:
        if not scores.tasks:
            raise BankError(f"the bank says nothing of space {scores.space.name!r}")
        self.space: Space = scores.space
        self.epsilon = epsilon
        names = [task.name for task in scores.tasks]
        order = sorted(range(len(names)), key=lambda i: -similarity.get(names[i], 0.0))[:nearest]
        distances = np.array([1 - similarity.get(names[i], 0.0) for i in order])
        shares = 1 / np.maximum(distances, 0.01)
        shares /= shares.sum()
        self.weights = {names[i]: float(w) for i, w in zip(order, shares, strict=True)}
        self.designs: list[tuple[Config, float]] = []
        for i, weight in zip(order, shares, strict=True):
            scored = np.flatnonzero(~np.isnan(scores.values[i]))
            best = scored[np.argsort(-scores.values[i][scored], kind="stable")][:top]
            self.designs += [(scores.configs[j], weight / len(best)) for j in best]

    def draw(self, rng: np.random.Generator) -> Config:
        """A configuration: each active parameter from its own distribution."""
        config: Config = {}
        for p in self.space.parameters:
            if self.space.is_active(p, config):
                config[p.name] = self.draw_value(p, rng)
        return self.space.validate(config)

    def draw_value(self, parameter: Parameter, rng: np.random.Generator) -> Value:
        """A value of one parameter."""
        values = [(c[parameter.name], w) for c, w in self.designs if parameter.name in c]
        if not values or rng.random() < self.epsilon:
            drawn: Value = draw(parameter.distribution, rng)
            return drawn
        weights = np.array([w for _, w in values])
        return values[int(rng.choice(len(values), p=weights / weights.sum()))][0]

    def probabilities(self, name: str) -> dict[Value, float]:
        """The probability of each choice of a categorical parameter."""
        parameter = next(p for p in self.space.parameters if p.name == name)
        distribution = parameter.distribution
        assert isinstance(distribution, CategoricalDistribution)
        values = [(c[name], w) for c, w in self.designs if name in c]
        total = sum(w for _, w in values)
        uniform = 1 / len(distribution.choices)
        shares: dict[Value, float] = {}
        for choice in distribution.choices:
            assert choice is not None  # no space has such a choice
            share = sum(w for value, w in values if value == choice) / total if total else uniform
            shares[choice] = (1 - self.epsilon) * share + self.epsilon * uniform
        return shares
