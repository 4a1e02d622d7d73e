"""NAS-Bench-Graph's networks and their supernet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bequest import GraphClassification, GraphEvaluator, NodeClassification, load_model
from bequest.common.errors import SpaceError
from bequest.evaluators.graph.cell import GraphCellEvaluator
from bequest.evaluators.graph.cell_network import GraphCellNetwork, GraphCellSupernet, Recipe
from bequest.evaluators.graph.sparse import Adjacency
from bequest.search.two_stage.one_shot.search import SupernetSearch
from bequest.search.two_stage.one_shot.settings import OneShotSettings, Regularisation
from bequest.spaces.nas_bench_graph import LINKS, NasBenchGraphSpace
from bequest.spaces.relaxation import relaxation_of

SPACE = NasBenchGraphSpace()
SMALL = Recipe(width=8, dropout=0.2, epochs=40)


@pytest.mark.parametrize("links", LINKS)
def test_a_supernet_whose_gates_are_shut_but_one_each_is_the_network(
    links: str, node_task: NodeClassification
) -> None:
    config = SPACE.sample(np.random.default_rng(int(links)))
    config["links"] = links
    torch.manual_seed(0)
    supernet = GraphCellSupernet(5, 3, SMALL).eval()
    network = GraphCellNetwork(config, 5, 3, SMALL).eval()
    decisions = relaxation_of(SPACE).decisions
    weights = supernet.state_dict()
    taken = {}
    for name in network.state_dict():
        parts = name.split(".")
        if parts[0] == "operations":
            option = decisions["op1"].index(str(config[f"op{int(parts[1]) + 1}"]))
            parts.insert(2, str(option))
        taken[name] = weights[".".join(parts)]
    network.load_state_dict(taken)
    gates = {
        name: torch.tensor([float(config[name] == option) for option in options])
        for name, options in decisions.items()
    }
    data = node_task.data
    edges = Adjacency(data.edge_index, 60)
    assert torch.allclose(supernet(data.x, edges, gates), network(data.x, edges), atol=1e-4)


def test_networks_train_repeat_themselves_and_come_back(
    node_task: NodeClassification, tmp_path: Path
) -> None:
    evaluator = GraphCellEvaluator(node_task, recipe=SMALL)
    config = {"links": "0012", "op1": "gcn", "op2": "fc", "op3": "skip", "op4": "gat"}
    first = evaluator(config, seed=0)
    assert first.value > 0.4
    assert evaluator(config, seed=0).value == first.value
    model = evaluator.fit(config, seed=0)
    model.save(tmp_path)
    data = node_task.data
    assert torch.equal(load_model(tmp_path).predict(data), model.predict(data))


def test_a_relaxed_search_on_a_graph_goes_on_bit_for_bit(
    node_task: NodeClassification, tmp_path: Path
) -> None:
    evaluator = GraphCellEvaluator(node_task, recipe=SMALL)
    settings = OneShotSettings(epochs=3, regularisation=Regularisation(warmup=1))
    whole = SupernetSearch(evaluator.supernet(seed=0), settings, seed=0)
    whole.run()
    path = tmp_path / "search.pt"
    SupernetSearch(evaluator.supernet(seed=0), settings, seed=0, checkpoint=path).run(epochs=2)
    resumed = SupernetSearch(evaluator.supernet(seed=0), settings, seed=0, checkpoint=path)
    resumed.run()
    assert torch.equal(resumed.optimiser.judged, whole.optimiser.judged)
    assert resumed.epochs[-1].alphas == whole.epochs[-1].alphas
    assert resumed.candidates(5) == whole.candidates(5)
    for candidate in whole.candidates(5):
        SPACE.validate(candidate.config)


def test_another_recipe_is_another_condition(node_task: NodeClassification) -> None:
    assert GraphCellEvaluator(node_task).conditions == {}
    short = GraphCellEvaluator(node_task, recipe=Recipe(epochs=5, width=8))
    assert short.conditions == {"epochs": 5, "width": 8}
    assert GraphEvaluator(node_task, patience=7).conditions == {"patience": 7}


def test_graphs_are_refused(graph_task: GraphClassification) -> None:
    with pytest.raises(SpaceError, match="it classifies nodes; use the space 'gnn'"):
        GraphCellEvaluator(graph_task)
