"""Measure a graph network on a graph task; train and keep the winner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from .. import __version__
from ..errors import DataError
from ..spaces import Config, Space
from ..spaces.gnn import gnn_space
from .cost import count_flops, count_parameters
from .graph_network import GraphNetwork
from .graph_problems import PARTS, Problem, make_problem, score_links
from .graph_statistics import graph_statistics
from .graph_tasks import GraphTask, one_hot_degrees, seed_torch
from .graph_training import Training, train
from .running import trainable
from .task import Outcome, Report

PATIENCE = 60
STATISTICS = "graph-statistics"
"""The kind of fingerprint: it predicts similarity better than Fisher information does, and costs
nothing."""


class GraphEvaluator:
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
        self.task = task
        self.space = space or gnn_space(task.level)
        self.patience = patience
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

    def fingerprints(self) -> dict[str, Sequence[float]]:
        """The task's plain statistics (see `graph_statistics`)."""
        return {STATISTICS: list(graph_statistics(self.task).values())}

    def fit(self, config: Config, *, seed: int, train_on_validation: bool = False) -> GraphModel:
        """Train once more and keep the network.

        Args:
            config: What to train.
            seed: Decides split and initialisation.
            train_on_validation: Train again on training and validation data together, for the
                number of epochs that validation has found best.

        Raises:
            EvaluationError: The training diverged or did not fit into memory.
        """
        config = self.space.validate(config)
        with trainable(self.device, seed):
            network, problem, training = self._train(config, seed, None)
            if train_on_validation:
                seed_torch(seed, self.device)
                problem.merge_validation()
                network = self._network(config, problem)
                train(network, problem, config, epochs=training.best_epoch, patience=None)
            metrics = scores(network, problem, self.task.metric)
        if train_on_validation:  # what was learned by heart says nothing
            metrics = {k: v for k, v in metrics.items() if not k.startswith("validation_")}
        facts = ModelFacts(
            level=self.task.level,
            config=config,
            inputs=self.task.features,
            outputs=problem.outputs,
            degrees_as_features=getattr(self.task, "degrees_as_features", False),
            task={"name": self.task.name, **self.task.describe()},
            seed=seed,
            train_on_validation=train_on_validation,
        )
        return GraphModel(network.cpu(), facts, metrics)

    def _train(
        self, config: Config, seed: int, report: Report | None
    ) -> tuple[GraphNetwork, Problem, Training]:
        problem = make_problem(self.task, config, seed, self.device)
        seed_torch(seed, self.device)
        network = self._network(config, problem)
        epochs = cast(int, config["epochs"])
        training = train(
            network, problem, config, epochs=epochs, patience=self.patience, report=report
        )
        return network, problem, training

    def _network(self, config: Config, problem: Problem) -> GraphNetwork:
        network = GraphNetwork(config, self.task.features, problem.outputs, self.task.level)
        return network.to(self.device)


def scores(network: nn.Module, problem: Problem, metric: str) -> dict[str, float]:
    """Metric and loss on each part of a problem."""
    found: dict[str, float] = {}
    with torch.no_grad():
        for part in PARTS:
            found[f"{part}_{metric}"], found[f"{part}_loss"] = problem.score(network, part)
    return found


# The trained model --------------------------------------------------------------------------------

KIND = "graph"


@dataclass(frozen=True)
class ModelFacts:
    """What is needed, beside the weights, to rebuild a model and to know where it came from."""

    level: str
    config: Config
    inputs: int
    outputs: int
    degrees_as_features: bool
    task: dict[str, Any]
    seed: int
    train_on_validation: bool
    recipe: dict[str, Any] | None = None
    """How a network of NAS-Bench-Graph's space is built; ``None`` for one of the `gnn` space."""


class GraphModel:
    """A trained graph network.

    Attributes:
        metrics: Training, validation and test metrics, as measured once after the training.
    """

    def __init__(self, network: nn.Module, facts: ModelFacts, metrics: dict[str, float]) -> None:
        self.network = network.eval()
        self.facts = facts
        self.metrics = metrics

    def predict(self, data: Data | Sequence[Data]) -> Tensor:
        """The class of each node or graph, or a score for each pair of nodes.

        Args:
            data: For nodes a `Data`; for graphs a `Data`, a `Batch` or a sequence of `Data`; for
                links a `Data` with ``edge_label_index [2, pairs]``.

        Returns:
            ``[nodes]`` or ``[graphs]`` classes, int64; ``[pairs]`` probabilities for links.
        """
        scores = self.predict_proba(data)
        return scores if self.facts.level == "link" else scores.argmax(dim=1)

    @torch.no_grad()
    def predict_proba(self, data: Data | Sequence[Data]) -> Tensor:
        """Probabilities ``[nodes or graphs, classes]``, or ``[pairs]`` for links.

        Raises:
            DataError: The number of features is not the model's.
        """
        graph = self._prepare(data)
        if self.facts.level == "graph":
            scores = self.network(graph.x, graph.edge_index, graph.batch)
            return cast(Tensor, scores.softmax(dim=1))
        output = self.network(graph.x.float(), graph.edge_index)
        if self.facts.level == "link":
            return score_links(output, graph.edge_label_index).sigmoid()
        return cast(Tensor, output.softmax(dim=1))

    def _prepare(self, data: Data | Sequence[Data]) -> Data:
        graphs = [data] if isinstance(data, Data) else list(data)
        if isinstance(data, Batch):
            graphs = data.to_data_list()
        if self.facts.degrees_as_features:
            graphs = [Data(x=one_hot_degrees(g), edge_index=g.edge_index) for g in graphs]
        for graph in graphs:
            if graph.x is None or graph.x.shape[1] != self.facts.inputs:
                has = "no" if graph.x is None else graph.x.shape[1]
                raise DataError(
                    f"the model takes {self.facts.inputs} features a node, the data has {has}"
                )
        if self.facts.level != "graph":
            return graphs[0]
        return Batch.from_data_list([Data(x=g.x.float(), edge_index=g.edge_index) for g in graphs])

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``; read by `bequest.load_model`."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        weights = {k: v.contiguous() for k, v in self.network.state_dict().items()}
        save_file(weights, str(place / "model.safetensors"))
        facts: dict[str, Any] = {"kind": KIND, "bequest_version": __version__}
        facts |= {"facts": self.facts.__dict__, "metrics": self.metrics}
        (place / "model.json").write_text(json.dumps(facts, indent=2, default=str))


def load_graph_model(folder: str | Path) -> GraphModel:
    """The model that `GraphModel.save` wrote. Nothing is unpickled."""
    place = Path(folder)
    saved = json.loads((place / "model.json").read_text())
    facts = ModelFacts(**saved["facts"])
    network: nn.Module
    if facts.recipe is None:
        network = GraphNetwork(facts.config, facts.inputs, facts.outputs, facts.level)
    else:
        from .graph_cell_network import GraphCellNetwork, Recipe

        recipe = Recipe(**facts.recipe)
        network = GraphCellNetwork(facts.config, facts.inputs, facts.outputs, recipe)
    network.load_state_dict(load_file(str(place / "model.safetensors")))
    return GraphModel(network, facts, saved["metrics"])
