"""The evaluator of graph networks of the `gnn` space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from ...spaces import Config, Space
from ...spaces.gnn import gnn_space
from ..fitted_model import ModelKind
from ..seeding import seed_torch
from ..task import Report
from ..training_evaluator import Provenance, Trained, TrainingEvaluator
from ..training_loop import TrainingResult
from .graph_model import GraphFacts, GraphKind
from .network import GraphNetwork
from .problems import PARTS, Problem, make_problem, outputs
from .statistics import graph_statistics
from .tasks import GraphTask
from .training import train

PATIENCE = 60
STATISTICS = "graph-statistics"
"""The kind of fingerprint: it predicts similarity better than Fisher information does, and costs
nothing."""


class GraphEvaluator(TrainingEvaluator):
    """Trains the configured graph network and measures it on the validation split.

    The test split decides nothing: its metric is computed once, with the weights that validation
    has chosen. On a CPU the outcome is a pure function of (configuration, seed).

    Args:
        task: `NodeClassification`, `GraphClassification` or `LinkPrediction`.
        space: The networks there are; by default the `gnn` space of the task's kind.
        patience: Epochs without progress after which a training stops.
        device: Where to train; by default a GPU where there is one.

    Example:
        >>> evaluator = GraphEvaluator(load_task("wine-knn"))  # doctest: +SKIP
        >>> evaluator(evaluator.space.default, seed=0).value  # doctest: +SKIP
        0.97
    """

    def __init__(
        self,
        task: GraphTask,
        *,
        space: Space | None = None,
        patience: int = PATIENCE,
        device: str | None = None,
    ) -> None:
        super().__init__(task, space or gnn_space(task.level), device)
        self.task: GraphTask = task
        self.patience = patience

    @property
    def conditions(self) -> dict[str, Any]:
        """Another patience."""
        return {} if self.patience == PATIENCE else {"patience": self.patience}

    def fingerprints(self) -> dict[str, Sequence[float]]:
        """The task's plain statistics (see `graph_statistics`)."""
        return {STATISTICS: list(graph_statistics(self.task).values())}

    def _train(self, config: Config, seed: int, report: Report | None) -> Trained:
        problem = self._problem(config, seed)
        seed_torch(seed, self.device)
        network = self._network(config)
        settings, epochs, patience = self._schedule(config)
        training = train(
            network, problem, settings, epochs=epochs, patience=patience, report=report
        )
        return self._trained(network, problem, training)

    def _train_on_both(self, config: Config, seed: int) -> Trained:
        epochs = self._train(config, seed, None).training.best_epoch
        problem = self._problem(config, seed)
        problem.merge_validation()
        seed_torch(seed, self.device)
        network = self._network(config)
        settings, _, _ = self._schedule(config)
        training = train(network, problem, settings, epochs=epochs, patience=None)
        return self._trained(network, problem, training)

    def _trained(self, network: nn.Module, problem: Problem, training: TrainingResult) -> Trained:
        return Trained(
            network,
            training,
            lambda: _scores(network, problem, self.task.metric),
            lambda: problem.forward(network),
        )

    def _kind(self, network: nn.Module, origin: Provenance) -> ModelKind:
        return GraphKind(self._facts(origin))

    def _facts(self, origin: Provenance) -> GraphFacts:
        return GraphFacts(
            level=self.task.level,
            inputs=self.task.features,
            outputs=outputs(self.task, origin.config),
            degrees_as_features=getattr(self.task, "degrees_as_features", False),
            **vars(origin),
        )

    # What another space of networks builds and trains otherwise.

    def _problem(self, config: Config, seed: int) -> Problem:
        return make_problem(self.task, config, seed, self.device)

    def _network(self, config: Config) -> nn.Module:
        network = GraphNetwork(
            config, self.task.features, outputs(self.task, config), self.task.level
        )
        return network.to(self.device)

    def _schedule(self, config: Config) -> tuple[Config, int, int]:
        """Optimiser, epochs at most, patience."""
        return config, cast(int, config["epochs"]), self.patience


def _scores(network: nn.Module, problem: Problem, metric: str) -> dict[str, float]:
    measured: dict[str, float] = {}
    with torch.no_grad():
        for part in PARTS:
            measured[f"{part}_{metric}"], measured[f"{part}_loss"] = problem.score(network, part)
    return measured
