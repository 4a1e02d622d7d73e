"""The graph evaluator: what it measures, that it repeats itself, that no test split decides."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from torch_geometric.data import Batch, Data

import bequest
from bequest import (
    GraphClassification,
    GraphEvaluator,
    LinkPrediction,
    NodeClassification,
    Study,
    load_model,
)
from bequest.common.errors import (
    ConfigurationError,
    DataError,
    EvaluationError,
    StudyError,
    UnknownNameError,
)
from bequest.search.studies.record import METADATA
from bequest.spaces.gnn import gnn_space

KINDS = ("node", "link", "graph")
TIMES = ("seconds",)
SMALL = {"epochs": 50, "width": 8}


def _evaluate(task: Any, seed: int = 0, **changes: Any) -> bequest.Outcome:
    evaluator = GraphEvaluator(task)
    return evaluator({**evaluator.space.default, **SMALL, **changes}, seed=seed)


def _without_times(outcome: bequest.Outcome) -> dict[str, float]:
    return {k: v for k, v in outcome.metrics.items() if k not in TIMES}


@pytest.mark.parametrize("kind", KINDS)
def test_measures_value_splits_and_costs(tasks: dict[str, Any], kind: str) -> None:
    outcome = _evaluate(tasks[kind], dropout=0.0)
    metric = tasks[kind].metric
    assert outcome.value == outcome.metrics[f"validation_{metric}"]
    assert outcome.metrics[f"train_{metric}"] > 0.6
    for name in (f"train_{metric}", f"test_{metric}", "train_loss", "flops", "parameters"):
        assert outcome.metrics[name] > 0
    assert outcome.metrics["peak_memory_bytes"] > 4 * 4 * outcome.metrics["parameters"]
    assert 1 <= outcome.metrics["best_epoch"] <= outcome.metrics["epochs"] <= 50


@pytest.mark.parametrize("kind", KINDS)
def test_the_outcome_is_a_function_of_configuration_and_seed(
    tasks: dict[str, Any], kind: str
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = _evaluate(tasks[kind], seed=3, dropout=0.3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    torch.rand(7)
    assert _without_times(_evaluate(tasks[kind], seed=3, dropout=0.3)) == _without_times(first)
    assert _without_times(_evaluate(tasks[kind], seed=4, dropout=0.3)) != _without_times(first)


def test_another_process_finds_the_same() -> None:
    code = (
        "import json; from bequest import *; t = load_task('wine-knn'); e = GraphEvaluator(t);"
        "o = e({**e.space.default, 'epochs': 50}, seed=1);"
        "print(json.dumps({k: v for k, v in o.metrics.items() if k != 'seconds'}))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert json.loads(runs[0].stdout) == json.loads(runs[1].stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_split_decides_nothing(
    tasks: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nonsense in the test part, only the test metrics change."""
    honest = _without_times(_evaluate(tasks[kind]))
    from bequest.evaluators.graph import problems as graph_problems

    original = graph_problems.make_problem

    def spoiled(*args: Any) -> Any:
        problem: Any = original(*args)
        if kind == "node":
            index = problem.index["test"]
            problem.y[index] = (problem.y[index] + 1) % 3
        elif kind == "graph":
            problem.fixed["test"].y = 1 - problem.fixed["test"].y
        else:
            test = problem.graphs["test"]
            test.edge_label = 1 - test.edge_label
        return problem

    monkeypatch.setattr("bequest.evaluators.graph.evaluator.make_problem", spoiled)
    labels = getattr(tasks[kind], "labels", torch.zeros(1)).clone()
    found = _without_times(_evaluate(tasks[kind]))
    if kind == "node":
        tasks[kind].labels = labels
    changed = {k for k in honest if honest[k] != found[k]}
    assert changed
    assert all(name.startswith("test_") for name in changed)


def test_early_stopping_restores_the_best_epoch(node_task: NodeClassification) -> None:
    curve: dict[int, float] = {}
    evaluator = GraphEvaluator(node_task, patience=10)
    config = {**(evaluator.space.default or {}), "learning_rate": 0.1, "epochs": 200}
    outcome = evaluator(config, seed=0, report=lambda step, value: curve.update({step: value}))
    best, epochs = int(outcome.metrics["best_epoch"]), int(outcome.metrics["epochs"])
    assert curve[best] == outcome.value == max(curve.values())
    assert best + 10 <= epochs + 1 < 200


def test_pruning_passes_through(node_task: NodeClassification) -> None:
    def prune(step: int, value: float) -> None:
        raise optuna.TrialPruned

    evaluator = GraphEvaluator(node_task)
    with pytest.raises(optuna.TrialPruned):
        evaluator({**(evaluator.space.default or {}), **SMALL}, seed=0, report=prune)


def test_divergence_is_named(graph: Data) -> None:
    graph.x = graph.x * 1e37
    with pytest.raises(EvaluationError, match=r"diverged in epoch \d+: a learning_rate below 0.1"):
        _evaluate(NodeClassification(graph, name="huge"), layer="gin", learning_rate=0.1)


def test_out_of_memory_is_named(
    node_task: NodeClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate")

    monkeypatch.setattr("bequest.evaluators.graph.evaluator.make_problem", full)
    with pytest.raises(EvaluationError, match="out of memory on cpu: a smaller width may help"):
        _evaluate(node_task)


def test_a_configuration_outside_the_space_is_refused(node_task: NodeClassification) -> None:
    with pytest.raises(ConfigurationError, match="'width' is 5000"):
        _evaluate(node_task, width=5000)


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampled_network_trains(tasks: dict[str, Any], kind: str) -> None:
    space = gnn_space(kind)
    evaluator = GraphEvaluator(tasks[kind])
    seen = []
    for seed in range(24):
        config = {**space.sample(np.random.default_rng(seed)), "epochs": 50}
        config["width"] = min(int(config["width"]), 16)
        with contextlib.suppress(EvaluationError):  # a learning rate of .1 may diverge
            assert 0 <= evaluator(config, seed=seed).value <= 1
            seen.append(config["layer"])
    assert len(seen) >= 20
    assert len(set(seen)) >= 7


# The trained model --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("both", [False, True])
def test_a_saved_model_comes_back(
    tasks: dict[str, Any], graphs: list[Data], kind: str, both: bool, tmp_path: Path
) -> None:
    evaluator = GraphEvaluator(tasks[kind])
    config = {**(evaluator.space.default or {}), **SMALL}
    model = evaluator.fit(config, seed=1, train_on_validation=both)
    metric = tasks[kind].metric
    assert 0 <= model.metrics[f"test_{metric}"] <= 1
    assert (f"validation_{metric}" in model.metrics) is not both
    model.save(tmp_path / "model")
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"model.json", "model.safetensors"}
    again = load_model(tmp_path / "model")
    assert again.metrics == model.metrics
    data: Any = graphs if kind == "graph" else tasks[kind].data
    if kind == "link":
        data = Data(x=data.x, edge_index=data.edge_index, edge_label_index=data.edge_index[:, :9])
    assert torch.equal(again.predict(data), model.predict(data))
    expected = {"node": 60, "graph": 40, "link": 9}[kind]
    assert again.predict(data).shape == (expected,)


def test_a_study_does_not_go_on_with_other_data(graph: Data, bequest_home: Path) -> None:
    options: dict[str, Any] = {"name": "mine", "bank": False, "tracking": False}
    study = Study(GraphEvaluator(NodeClassification(graph, name="papers")), **options)
    other = graph.clone()
    other.y = other.y.flip(0)
    with pytest.raises(StudyError, match="study 'mine' was begun with data"):
        Study(GraphEvaluator(NodeClassification(other, name="papers")), **options)
    facts = study.optuna_study.user_attrs[METADATA]
    study.optuna_study.set_user_attr(METADATA, {**facts, "data": None})  # as before graphs said so
    Study(GraphEvaluator(NodeClassification(other, name="papers")), **options)


def test_links_have_no_direction_for_a_model_either(graph: Data) -> None:
    task = LinkPrediction(graph, name="mine")
    evaluator = GraphEvaluator(task)
    model = evaluator.fit({**(evaluator.space.default or {}), **SMALL, "layer": "gin"}, seed=1)
    pairs = task.data.edge_index[:, :9]
    once = task.data.edge_index[:, task.data.edge_index[0] < task.data.edge_index[1]]
    loops = torch.arange(5).expand(2, -1)
    given = torch.cat([once.flip(0), loops], dim=1).int()
    told = [
        model.predict(Data(x=task.data.x, edge_index=edges, edge_label_index=pairs))
        for edges in (task.data.edge_index, given)
    ]
    assert torch.equal(*told)
    with pytest.raises(DataError, match="set data.edge_label_index"):
        model.predict(Data(x=task.data.x, edge_index=given))


def test_a_model_of_nodes_takes_one_graph(node_task: NodeClassification) -> None:
    evaluator = GraphEvaluator(node_task)
    model = evaluator.fit({**(evaluator.space.default or {}), **SMALL}, seed=1)
    with pytest.raises(DataError, match="takes one graph, and got 2"):
        model.predict([node_task.data, node_task.data])


def test_fit_finds_what_the_evaluation_found(node_task: NodeClassification) -> None:
    evaluator = GraphEvaluator(node_task)
    config = {**(evaluator.space.default or {}), **SMALL}
    outcome = evaluator(config, seed=2)
    model = evaluator.fit(config, seed=2)
    assert model.metrics == {k: outcome.metrics[k] for k in model.metrics}
    split = node_task.split(2)
    right = model.predict(node_task.data)[split.test] == node_task.labels[split.test]
    assert float(right.float().mean()) == model.metrics["test_accuracy"]


def test_prediction_on_another_graph(node_task: NodeClassification, new_graph: Any) -> None:
    evaluator = GraphEvaluator(node_task)
    model = evaluator.fit({**(evaluator.space.default or {}), **SMALL}, seed=0)
    other = new_graph(33, seed=9)
    probabilities = model.predict_proba(other)
    assert probabilities.shape == (33, 3)
    assert torch.allclose(probabilities.sum(1), torch.ones(33))


def test_graphs_one_by_one_or_together(graph_task: GraphClassification, graphs: list[Data]) -> None:
    evaluator = GraphEvaluator(graph_task)
    model = evaluator.fit({**(evaluator.space.default or {}), **SMALL}, seed=0)
    together = model.predict_proba(graphs)
    batched = model.predict_proba(Batch.from_data_list(graphs))
    single = torch.cat([model.predict_proba(graph) for graph in graphs])
    assert torch.allclose(together, single, atol=1e-6)
    assert torch.equal(together, batched)


def test_wrong_features_are_named(node_task: NodeClassification, new_graph: Any) -> None:
    evaluator = GraphEvaluator(node_task)
    model = evaluator.fit({**(evaluator.space.default or {}), **SMALL}, seed=0)
    other = new_graph()
    other.x = other.x[:, :3]
    with pytest.raises(DataError, match="takes 5 features a node, the data has 3"):
        model.predict(other)


def test_no_model_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model in"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text('{"kind": "grap"}')
    with pytest.raises(UnknownNameError, match="did you mean 'graph'"):
        load_model(tmp_path)
