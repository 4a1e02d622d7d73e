"""Every evaluator of Bequest passes the suite for evaluators.

But for `FunctionEvaluator`: a plain function is the user's own; the worker checks what it gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import Data

from bequest import (
    GraphClassification,
    ImageClassification,
    LinkPrediction,
    NodeClassification,
    TextClassification,
)
from bequest.evaluators.finetuning.training import TuningBudget
from bequest.evaluators.graph.cell import GraphCellEvaluator
from bequest.evaluators.graph.cell_network import Recipe
from bequest.evaluators.graph.evaluator import GraphEvaluator
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.evaluators.image.training import Budget
from bequest.evaluators.image.tuning import ImageTuningEvaluator
from bequest.evaluators.once_for_all.budget import ElasticBudget
from bequest.evaluators.once_for_all.evaluator import ElasticEvaluator
from bequest.evaluators.once_for_all.training import Shrinking
from bequest.evaluators.table import TableEvaluator, TableTask
from bequest.evaluators.task import Evaluator, Outcome
from bequest.evaluators.text.evaluator import TextEvaluator
from bequest.evaluators.text.training import TextBudget
from bequest.spaces import Config
from bequest.spaces.cell import NAS_BENCH_201_EDGES, nas_bench_201_space
from bequest.spaces.elastic_genes import Networks
from bequest.testing.evaluators import EvaluatorSuite
from tests.evaluators.conftest import make_graph
from tests.evaluators.peft.backbones import make_backbone

TEXT_BACKBONE = Path(__file__).parents[1] / "assets" / "0.1.0" / "models" / "text" / "backbone"
TUNING = {
    "method": "lora",
    "lora_rank": 2,
    "lora_alpha": 2.0,
    "lora_where": "qv",
    "lora_dropout": 0.1,
    "learning_rate_lora": 1e-2,
    "layer_lo": 0,
    "head_rate": 1.0,
    "head_init": "probe",
    "head_dropout": 0.1,
    "weight_decay": 0.01,
    "batch": 8,
}


class TestNodes(EvaluatorSuite):
    @pytest.fixture
    def evaluator(self) -> Any:
        return GraphEvaluator(NodeClassification(make_graph(), name="toy-nodes"), patience=6)

    @pytest.fixture
    def config(self, evaluator: Evaluator) -> Config:
        return {**(evaluator.space.default or {}), "width": 8, "epochs": 50}

    @pytest.fixture
    def inputs(self) -> Data:
        return make_graph(seed=1)


class TestLinks(TestNodes):
    @pytest.fixture
    def evaluator(self) -> Any:
        return GraphEvaluator(LinkPrediction(make_graph(), name="toy-links"), patience=6)

    @pytest.fixture
    def inputs(self) -> Data:
        graph = make_graph(seed=1)
        graph.edge_label_index = graph.edge_index[:, :7]
        return graph


class TestWholeGraphs(TestNodes):
    @pytest.fixture
    def evaluator(self) -> Any:
        graphs = [make_graph(8 + i % 4, seed=i) for i in range(30)]
        for i, graph in enumerate(graphs):
            graph.y = torch.tensor([i % 2])
        return GraphEvaluator(GraphClassification(graphs, name="toy-graphs"), patience=6)


class TestGraphCells(EvaluatorSuite):
    @pytest.fixture
    def evaluator(self) -> Any:
        task = NodeClassification(make_graph(), name="toy-nodes")
        return GraphCellEvaluator(task, recipe=Recipe(width=8, epochs=6))

    @pytest.fixture
    def inputs(self) -> Data:
        return make_graph(seed=1)


def stripes(count: int = 60) -> ImageClassification:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    rows = np.broadcast_to((np.arange(8) % 4 < 2)[:, None], (8, 8))
    patterns = np.stack([rows, rows.T, np.ones((8, 8), dtype=bool)])
    noise = rng.integers(0, 90, (count, 1, 8, 8))
    pixels = (noise + 150 * patterns[labels][:, None]).astype(np.uint8)
    return ImageClassification(pixels, labels, name="stripes")


class TestImages(EvaluatorSuite):
    @pytest.fixture
    def evaluator(self) -> Any:
        return ImageEvaluator(stripes(), channels=2, budget=Budget(epochs=2, batch_size=16))

    @pytest.fixture
    def inputs(self) -> np.ndarray:
        return stripes().images[:6]


class TestElastic(TestImages):
    @pytest.fixture
    def evaluator(self) -> Any:
        shrinking = Shrinking(epochs=(1, 0, 0, 0), batch_size=16)
        tuning = Budget(1, 40, None, 16, learning_rate=0.01)
        return ElasticEvaluator(stripes(), budget=ElasticBudget(shrinking, tuning, tuning))

    @pytest.fixture
    def config(self, evaluator: ElasticEvaluator) -> Config:
        return Networks.smallest(evaluator.geometry).configs()[0]


class TestImageTuning(TestImages):
    @pytest.fixture
    def evaluator(self, backbone: Any) -> Any:
        budget = TuningBudget(epochs=2, examples=30)
        return ImageTuningEvaluator(stripes(), backbone, methods=["lora", "probe"], budget=budget)

    @pytest.fixture
    def config(self) -> Config:
        return dict(TUNING)

    @pytest.fixture
    def backbone(self) -> Any:
        return make_backbone("timm")


class TestTexts(EvaluatorSuite):
    @pytest.fixture
    def evaluator(self) -> Any:
        asked = {"human": "who is the person", "place": "where is the city"}
        rows = [{"text": f"{asked[k]} {i}", "label": k} for i in range(30) for k in asked]
        task = TextClassification(pd.DataFrame(rows), name="asked")
        budget = TextBudget(epochs=2, examples=30)
        return TextEvaluator(
            task, backbone=str(TEXT_BACKBONE), methods=["lora", "probe"], budget=budget
        )

    @pytest.fixture
    def config(self) -> Config:
        return dict(TUNING)

    @pytest.fixture
    def inputs(self) -> list[str]:
        return ["who is the old person", "where is the red city"]


class TestTables(EvaluatorSuite):
    reports = False

    @pytest.fixture
    def evaluator(self) -> Any:
        space = nas_bench_201_space()
        key = tuple((space.default or {})[edge] for edge in NAS_BENCH_201_EDGES)
        return TableEvaluator(
            TableTask("toy", "accuracy", "made up", 1),
            space,
            {key: Outcome(0.5, {"test_accuracy": 0.4})},
            lambda config: tuple(config[edge] for edge in NAS_BENCH_201_EDGES),
        )
