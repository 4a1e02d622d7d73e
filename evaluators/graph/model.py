"""A trained graph network: predicts, is saved, is read again."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from ...common.errors import DataError
from ...spaces import Config
from ..saved_models import read_model, write_model
from .cell_network import GraphCellNetwork, Recipe
from .network import GraphNetwork
from .problems import score_links
from .tasks import one_hot_degrees, undirected

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
            DataError: The number of features is not the model's, or something is missing.
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
        if self.facts.level == "graph":
            prepared = [Data(x=g.x.float(), edge_index=g.edge_index.long()) for g in graphs]
            return Batch.from_data_list(prepared)
        if len(graphs) != 1:
            raise DataError(f"the model takes one graph, and got {len(graphs)}: give them singly")
        graph = copy(graphs[0])
        graph.edge_index = graph.edge_index.long()
        if self.facts.level == "link":
            if graph.get("edge_label_index") is None:
                raise DataError("say which pairs of nodes: set data.edge_label_index, [2, pairs]")
            graph.edge_index = undirected(graph.edge_index, int(graph.num_nodes))
        return graph

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``; read by `bequest.load_model`."""
        write_model(folder, KIND, self.network, self.facts, self.metrics)


def load_graph_model(folder: str | Path) -> GraphModel:
    """The model that `GraphModel.save` wrote. Nothing is unpickled."""
    saved = read_model(folder)
    facts = ModelFacts(**saved.facts)
    network: nn.Module
    if facts.recipe is None:
        network = GraphNetwork(facts.config, facts.inputs, facts.outputs, facts.level)
    else:
        recipe = Recipe(**facts.recipe)
        network = GraphCellNetwork(facts.config, facts.inputs, facts.outputs, recipe)
    network.load_state_dict(saved.weights)
    return GraphModel(network, facts, saved.metrics)
