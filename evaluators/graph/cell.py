"""The evaluator of NAS-Bench-Graph's networks on node tasks, and their supernet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor, nn

from ...common.errors import SpaceError
from ...spaces import Config
from ...spaces.nas_bench_graph import NasBenchGraphSpace
from ...spaces.relaxation import relaxation_of
from ..budgets import unusual
from ..seeding import seeded
from ..supernet import Batch, Supernet
from ..training_evaluator import Provenance
from .cell_network import GraphCellNetwork, GraphCellSupernet, Recipe
from .evaluator import GraphEvaluator
from .graph_model import GraphFacts
from .problems import NodeProblem
from .tasks import GraphTask, NodeClassification


class GraphHalves:
    """The training and the validation nodes of one graph: each step sees all of both.

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


class GraphCellEvaluator(GraphEvaluator):
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
        super().__init__(task, space=NasBenchGraphSpace(), device=device)
        self.task: NodeClassification = task
        self.recipe = recipe or Recipe()

    @property
    def conditions(self) -> dict[str, Any]:
        """Another recipe."""
        return unusual(self.recipe, Recipe())

    def supernet(self, *, seed: int, **options: Any) -> Supernet:
        """All networks of the space at once; alphas learn from the validation nodes.

        Args:
            seed: Decides split and initialisation.
            **options: ``gate``, ``zero_one`` and ``decaying_skip`` of `Supernet`.
        """
        problem = self._nodes(seed)
        recipe = replace(self.recipe, width=self.recipe.supernet_width)
        with seeded(seed):
            network = GraphCellSupernet(self.task.features, self.task.classes, recipe)
        index = problem.index
        halves = GraphHalves(
            (problem.x, problem.edges), problem.y, index["train"], index["validation"], STEPS
        )
        return Supernet(network.to(self.device), relaxation_of(self.space), halves, **options)

    def _problem(self, config: Config, seed: int) -> NodeProblem:
        return self._nodes(seed)

    def _network(self, config: Config) -> nn.Module:
        network = GraphCellNetwork(config, self.task.features, self.task.classes, self.recipe)
        return network.to(self.device)

    def _schedule(self, config: Config) -> tuple[Config, int, int]:
        optimiser: Config = {
            "optimizer": "adam",
            "learning_rate": self.recipe.learning_rate,
            "weight_decay": self.recipe.weight_decay,
        }
        return optimiser, self.recipe.epochs, self.recipe.patience

    def _facts(self, origin: Provenance) -> GraphFacts:
        return replace(super()._facts(origin), recipe=asdict(self.recipe))

    def _nodes(self, seed: int) -> NodeProblem:
        return NodeProblem(self.task, {"layers_pre": 1}, seed, self.device)
