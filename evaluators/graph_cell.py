"""Measure NAS-Bench-Graph's networks on a node task; search them by gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ..errors import SpaceError
from ..spaces import Config
from ..spaces.nas_bench_graph import NasBenchGraphSpace
from ..spaces.relaxation import relaxation_of
from .cost import count_flops, count_parameters
from .graph import GraphModel, ModelFacts, scores
from .graph_cell_network import GraphCellNetwork, GraphCellSupernet, Recipe
from .graph_problems import NodeProblem
from .graph_tasks import GraphTask, NodeClassification, seed_torch, seeded
from .graph_training import Training, train
from .running import trainable
from .supernet import Batch, Supernet
from .task import Outcome, Report


class GraphHalves:
    """The training nodes and the validation nodes of one graph: each step sees all of both.

    Training nodes are few in the public splits, so they are not halved.

    Args:
        inputs: Features and edges.
        y: Classes ``[nodes]``.
        train, validation: Indices of nodes.
        steps: In an epoch.
    """

    def __init__(
        self, inputs: tuple[Any, Any], y: Tensor, train: Tensor, validation: Tensor, steps: int
    ) -> None:
        self.steps = steps
        self.train = Batch(inputs, y[train], train)
        self.validation = Batch(inputs, y[validation], validation)

    def batches(self, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """The same pair in every step."""
        return iter([(self.train, self.validation)] * self.steps)

    def judging(self) -> Sequence[Batch]:
        """The validation nodes."""
        return [self.validation]


STEPS = 10
"""Steps in an epoch of a relaxed search, each on the whole graph."""


class GraphCellEvaluator:
    """Trains the network of a NAS-Bench-Graph configuration on a node task, from scratch.

    Args:
        task: `NodeClassification`.
        recipe: How to train.
        device: Where; by default a GPU where there is one.

    Raises:
        SpaceError: The task is not one of nodes.
    """

    def __init__(
        self, task: GraphTask, *, recipe: Recipe | None = None, device: str | None = None
    ) -> None:
        if not isinstance(task, NodeClassification):
            raise SpaceError(
                f"space 'nas-bench-graph' does not fit {task.kind} ({task.name!r}): it classifies "
                "nodes; use the space 'gnn'"
            )
        self.task = task
        self.space = NasBenchGraphSpace()
        self.recipe = recipe or Recipe()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        """Train and measure.

        Raises:
            ConfigurationError: The configuration is not in the space.
            EvaluationError: The training diverged or did not fit into memory.
        """
        config = self.space.validate(config)
        with trainable(self.device, seed):
            network, problem, training = self._train(config, seed, report)
            metrics = scores(network, problem, self.task.metric)
            metrics["flops"] = float(count_flops(lambda: problem.forward(network), network))
        metrics |= {
            "parameters": float(count_parameters(network)),
            "peak_memory_bytes": float(training.peak_memory_bytes),
            "seconds": training.seconds,
            "epochs": float(training.epochs),
            "best_epoch": float(training.best_epoch),
        }
        return Outcome(metrics[f"validation_{self.task.metric}"], metrics)

    def fit(self, config: Config, *, seed: int, train_on_validation: bool = False) -> GraphModel:
        """Train once more and keep the network; arguments and errors as in `GraphEvaluator.fit`."""
        config = self.space.validate(config)
        with trainable(self.device, seed):
            network, problem, training = self._train(config, seed, None)
            if train_on_validation:
                seed_torch(seed, self.device)
                problem.merge_validation()
                network = self._network(config)
                epochs = training.best_epoch
                train(network, problem, self._optimisation(), epochs=epochs, patience=None)
            metrics = scores(network, problem, self.task.metric)
        if train_on_validation:  # what was learned by heart says nothing
            metrics = {k: v for k, v in metrics.items() if not k.startswith("validation_")}
        facts = ModelFacts(
            level=self.task.level,
            config=config,
            inputs=self.task.features,
            outputs=self.task.classes,
            degrees_as_features=False,
            task={"name": self.task.name, **self.task.describe()},
            seed=seed,
            train_on_validation=train_on_validation,
            recipe=asdict(self.recipe),
        )
        return GraphModel(network.cpu(), facts, metrics)

    def supernet(self, *, seed: int, **options: Any) -> Supernet:
        """All networks of the space at once; alphas learn from the validation nodes.

        Args:
            seed: Decides split and initialisation.
            **options: ``gate``, ``zero_one`` and ``decaying_skip`` of `Supernet`.
        """
        problem = self._problem(seed)
        with seeded(seed):
            network = GraphCellSupernet(self.task.features, self.task.classes, self.recipe)
        index = problem.index
        halves = GraphHalves(
            (problem.x, problem.edges), problem.y, index["train"], index["validation"], STEPS
        )
        return Supernet(network.to(self.device), relaxation_of(self.space), halves, **options)

    def _train(
        self, config: Config, seed: int, report: Report | None
    ) -> tuple[GraphCellNetwork, NodeProblem, Training]:
        problem = self._problem(seed)
        seed_torch(seed, self.device)
        network = self._network(config)
        epochs, patience = self.recipe.epochs, self.recipe.patience
        settings = self._optimisation()
        training = train(
            network, problem, settings, epochs=epochs, patience=patience, report=report
        )
        return network, problem, training

    def _problem(self, seed: int) -> NodeProblem:
        return NodeProblem(self.task, {"layers_pre": 1}, seed, self.device)

    def _network(self, config: Config) -> GraphCellNetwork:
        network = GraphCellNetwork(config, self.task.features, self.task.classes, self.recipe)
        return network.to(self.device)

    def _optimisation(self) -> Config:
        return {
            "optimizer": "adam",
            "learning_rate": self.recipe.learning_rate,
            "weight_decay": self.recipe.weight_decay,
        }
