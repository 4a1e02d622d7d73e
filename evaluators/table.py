"""Answers from result tables: published trainings instead of own ones, same interface."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..common.errors import DataError, EvaluationError
from ..spaces import Config, Space
from ..spaces.cell import NAS_BENCH_201_EDGES, nas_bench_201_space
from ..spaces.graphgym import EXPERIMENT, GRID, graphgym_space
from ..spaces.nas_bench_graph import NasBenchGraphSpace, config_of_row, tree_of
from .task import Outcome, Report


@dataclass(frozen=True)
class TableTask:
    """One task of a result table."""

    name: str
    metric: str
    source: str
    rows: int
    direction: str = "maximize"

    def describe(self) -> dict[str, Any]:
        """Plain facts for people and records."""
        return {
            "kind": "table",
            "metric": self.metric,
            "source": self.source,
            "rows": self.rows,
            "split": "as published",
        }


class TableEvaluator:
    """Looks a configuration up instead of training it.

    Args:
        task: What the table is about.
        space: The configurations there are.
        table: The outcome of each, by its key.
        key: A configuration's key.
    """

    def __init__(
        self,
        task: TableTask,
        space: Space,
        table: dict[Hashable, Outcome],
        key: Callable[[Config], Hashable],
    ) -> None:
        self.task = task
        self.space = space
        self.table = table
        self.key = key

    def __call__(self, config: Config, *, seed: int = 0, report: Report | None = None) -> Outcome:
        """The published outcome; the seed changes nothing.

        Raises:
            ConfigurationError: The configuration is not in the space.
            EvaluationError: The table has no such row.
        """
        config = self.space.validate(config)
        outcome = self.table.get(self.key(config))
        if outcome is None:
            raise EvaluationError(f"the table of {self.task.name} has no row for {config}")
        return outcome

    @classmethod
    def nas_bench_graph(cls, path: str | Path, dataset: str) -> TableEvaluator:
        """NAS-Bench-Graph: 26,206 networks on one dataset (2,021 on proteins).

        Args:
            path: ``nas_bench_graph.parquet``.
            dataset: ``arxiv``, ``citeseer``, ``computers``, ``cora``, ``cs``, ``photo`` or
                ``proteins``.

        Raises:
            DataError: There is no such file, or no such dataset in it.
        """
        rows = _read(path, "dataset", dataset)
        metric = str(rows["metric_name"].iloc[0])
        table: dict[Hashable, Outcome] = {}
        for row in rows.itertuples():
            config = config_of_row(row)
            metrics = {
                f"test_{metric}": row.test_metric,
                "latency_seconds": row.latency,
                "parameters": row.params * 1e6,
            }
            table[tree_of(config)] = Outcome(row.val_metric, metrics)
        task = TableTask(f"nas-bench-graph-{dataset}", metric, "NAS-Bench-Graph", len(table))
        return cls(task, NasBenchGraphSpace(), table, tree_of)

    @classmethod
    def graphgym(cls, path: str | Path, task: str) -> TableEvaluator:
        """GraphGym's grid of 96 designs (``design_v2``) on one of its 32 tasks; no test split.

        Args:
            path: ``graphgym.parquet``.
            task: A ``task_id``, for example ``PyG/Cora/node/trans/-/-``.

        Raises:
            DataError: There is no such file, or no such task in it.
        """
        rows = _read(path, "task_id", task, EXPERIMENT)
        rows = rows[rows["metric_name"] == "accuracy"]
        space = graphgym_space()
        table: dict[Hashable, Outcome] = {
            tuple(getattr(row, name) for name in GRID): Outcome(
                row.val_value, {"train_accuracy": row.train_value, "parameters": row.params}
            )
            for row in rows.itertuples()
        }
        facts = TableTask(f"graphgym-{task}", "accuracy", "GraphGym design_v2", len(table))
        return cls(facts, space, table, lambda config: tuple(config[name] for name in GRID))

    @classmethod
    def nas_bench_201(cls, path: str | Path, dataset: str) -> TableEvaluator:
        """NAS-Bench-201: 15,625 cells, judged by validation accuracy after 12 epochs.

        ``test_accuracy`` is that of the published trainings of 200 epochs.

        Args:
            path: ``nas_bench_201.parquet``.
            dataset: ``cifar10`` or ``cifar100``.

        Raises:
            DataError: There is no such file, or no such dataset in it.
        """
        rows = _table(path)
        if f"{dataset}_val_e12" not in rows:
            ending = "_val_e12"
            datasets = ", ".join(c.removesuffix(ending) for c in rows if c.endswith(ending))
            raise DataError(
                f"{str(path)!r} has no dataset {dataset!r}: known are {datasets or 'none'}"
            )
        table: dict[Hashable, Outcome] = {}
        for row in rows.to_dict("records"):
            metrics = {
                "test_accuracy": row[f"{dataset}_test_e200"] / 100,
                "test_accuracy_12_epochs": row[f"{dataset}_test_e12"] / 100,
                "parameters": float(row[f"{dataset}_params"]),
                "flops": row[f"{dataset}_mflops"] * 1e6,
            }
            key = tuple(row[edge] for edge in NAS_BENCH_201_EDGES)
            table[key] = Outcome(row[f"{dataset}_val_e12"] / 100, metrics)
        task = TableTask(f"nas-bench-201-{dataset}", "accuracy", "NAS-Bench-201", len(table))
        space = nas_bench_201_space()
        return cls(task, space, table, lambda c: tuple(c[edge] for edge in NAS_BENCH_201_EDGES))


def _table(path: str | Path) -> pd.DataFrame:
    if not Path(path).is_file():
        raise DataError(f"no result table {str(path)!r}: give the path of the Parquet file")
    return pd.read_parquet(path)


def _read(path: str | Path, column: str, value: str, experiment: str | None = None) -> pd.DataFrame:
    table = _table(path)
    if column not in table:
        raise DataError(f"{str(path)!r} has no column {column!r}: is it another table?")
    if experiment is not None:
        table = table[table["experiment"] == experiment]
    rows = table[table[column] == value]
    if rows.empty:
        values = ", ".join(sorted(table[column].unique()))
        raise DataError(f"{str(path)!r} has no {column} {value!r}: known are {values}")
    return rows
