"""Result tables behind the evaluator's interface."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bequest.common.errors import ConfigurationError, DataError, EvaluationError
from bequest.evaluators.table import TableEvaluator

CHAIN = {"links": "0123", "op1": "gcn", "op2": "gcn", "op3": "gcn", "op4": "gcn"}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A table of two networks on one dataset."""
    row = {
        "dataset": "cora",
        **{f"link{i}": i for i in range(4)},
        **{f"op{i}": "gcn" for i in range(4)},
        "metric_name": "accuracy",
        "val_metric": 0.81,
        "test_metric": 0.79,
        "latency": 0.005,
        "params": 0.1,
    }
    path = tmp_path / "table.parquet"
    pd.DataFrame([row, {**row, "op0": "fc", "val_metric": 0.5}]).to_parquet(path)
    return path


def test_a_row_is_found_and_its_figures_have_units(small: Path) -> None:
    evaluator = TableEvaluator.nas_bench_graph(small, "cora")
    outcome = evaluator(CHAIN, seed=7)
    assert outcome.value == 0.81
    assert outcome.metrics == {
        "test_accuracy": 0.79,
        "latency_seconds": 0.005,
        "parameters": pytest.approx(100_000),
    }
    assert evaluator.task.direction == "maximize"
    assert evaluator.task.metric == "accuracy"
    assert evaluator.task.describe()["rows"] == 2


def test_a_missing_row(small: Path) -> None:
    evaluator = TableEvaluator.nas_bench_graph(small, "cora")
    with pytest.raises(EvaluationError, match="no row for"):
        evaluator({**CHAIN, "op1": "gat"}, seed=0)


def test_an_invalid_point(small: Path) -> None:
    evaluator = TableEvaluator.nas_bench_graph(small, "cora")
    with pytest.raises(ConfigurationError, match="'op1' is 'gnc': allowed is one of 'gat'"):
        evaluator({**CHAIN, "op1": "gnc"}, seed=0)
    with pytest.raises(ConfigurationError, match="all 'skip'"):
        evaluator({"links": "0000"} | {f"op{i}": "skip" for i in range(1, 5)}, seed=0)


def test_an_unknown_dataset_names_the_known_ones(small: Path) -> None:
    with pytest.raises(DataError, match="no dataset 'pubmed': known are cora"):
        TableEvaluator.nas_bench_graph(small, "pubmed")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no result table .*nothing\.parquet"):
        TableEvaluator.nas_bench_graph(tmp_path / "nothing.parquet", "cora")


def test_another_table(small: Path) -> None:
    with pytest.raises(DataError, match="no column 'experiment'|no column 'task_id'"):
        TableEvaluator.graphgym(small, "PyG/Cora/node/trans/-/-")


def test_every_network_has_its_row(data_root: Path) -> None:
    path = data_root / "gnn_bank" / "nas_bench_graph.parquet"
    evaluator = TableEvaluator.nas_bench_graph(path, "cora")
    assert len(evaluator.table) == 26_206
    values = {evaluator(config, seed=0).value for config in evaluator.space.enumerate()}
    table = pd.read_parquet(path)
    assert values == set(table[table["dataset"] == "cora"]["val_metric"])


def test_proteins_is_sparse(data_root: Path) -> None:
    path = data_root / "gnn_bank" / "nas_bench_graph.parquet"
    evaluator = TableEvaluator.nas_bench_graph(path, "proteins")
    assert len(evaluator.table) == 2_021
    assert evaluator.task.metric != "accuracy"


def test_graphgym_has_every_design_of_its_grid(data_root: Path) -> None:
    path = data_root / "gnn_bank" / "graphgym.parquet"
    evaluator = TableEvaluator.graphgym(path, "PyG/Cora/node/trans/-/-")
    values = [evaluator(config, seed=0).value for config in evaluator.space.enumerate()]
    assert len(values) == evaluator.space.size == 96
    assert 0.5 < max(values) < 1
    with pytest.raises(DataError, match="known are"):
        TableEvaluator.graphgym(path, "PyG/Coar")


def test_nas_bench_201_has_every_cell(data_root: Path) -> None:
    path = data_root / "nas" / "nas_bench_201.parquet"
    evaluator = TableEvaluator.nas_bench_201(path, "cifar10")
    outcomes = [evaluator(config) for config in evaluator.space.enumerate()]
    assert len(outcomes) == evaluator.space.size == 15_625
    assert max(o.metrics["test_accuracy"] for o in outcomes) == pytest.approx(0.9437, abs=5e-5)
    skips = evaluator(dict.fromkeys(evaluator.space.default or {}, "skip_connect"))
    assert skips.metrics["test_accuracy"] == pytest.approx(0.5430, abs=5e-5)
    with pytest.raises(DataError, match="no dataset 'svhn': known are cifar10, cifar100"):
        TableEvaluator.nas_bench_201(path, "svhn")
