"""How trained graph networks are rebuilt, and how graphs become their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from ...common.errors import DataError
from ...spaces import Config
from ..fitted_model import ModelKind, SavedModel
from .cell_network import GraphCellNetwork, Recipe
from .network import GraphNetwork
from .problems import score_links
from .tasks import one_hot_degrees, undirected


@dataclass(frozen=True)
class GraphFacts:
    """What is needed, beside the weights, to rebuild a model and to know where it came from.

    Attributes:
        level: ``"node"``, ``"link"`` or ``"graph"``.
        inputs, outputs: Features of a node, and what the network gives for each.
        degrees_as_features: Whether nodes have their one-hot degrees as features.
        recipe: How a network of NAS-Bench-Graph's space is built; ``None`` for one of the `gnn`
            space.
    """

    level: str
    config: Config
    inputs: int
    outputs: int
    degrees_as_features: bool
    task: dict[str, Any]
    seed: int
    train_on_validation: bool
    recipe: dict[str, Any] | None = None


class GraphKind(ModelKind):
    """Graph networks of all tasks."""

    name = "graph"
    facts: GraphFacts

    @classmethod
    def rebuild(cls, saved: SavedModel) -> tuple[nn.Module, ModelKind]:
        """The network of the configuration, with the saved weights."""
        facts = GraphFacts(**saved.facts)
        network: nn.Module
        if facts.recipe is None:
            network = GraphNetwork(facts.config, facts.inputs, facts.outputs, facts.level)
        else:
            recipe = Recipe(**facts.recipe)
            network = GraphCellNetwork(facts.config, facts.inputs, facts.outputs, recipe)
        network.load_state_dict(saved.weights)
        return network, cls(facts)

    def answers(self, probabilities: Tensor) -> Tensor:
        """Classes of nodes or graphs; of links the probabilities themselves."""
        return probabilities if self.facts.level == "link" else probabilities.argmax(dim=1)

    @torch.no_grad()
    def probabilities(self, network: nn.Module, inputs: Data | Sequence[Data]) -> Tensor:
        """``[nodes or graphs, classes]``, or ``[pairs]`` for links.

        Raises:
            DataError: The number of features is not the model's, or something is missing.
        """
        graph = self._prepare(inputs)
        if self.facts.level == "graph":
            return cast(Tensor, network(graph.x, graph.edge_index, graph.batch).softmax(dim=1))
        output = network(graph.x.float(), graph.edge_index)
        if self.facts.level == "link":
            return score_links(output, graph.edge_label_index).sigmoid()
        return cast(Tensor, output.softmax(dim=1))

    def _prepare(self, data: Data | Sequence[Data]) -> Data:
        """One graph, or a batch of graphs, with the features that the network takes."""
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
