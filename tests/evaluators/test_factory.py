"""The evaluator that fits task and space: what is chosen, what is refused, what people may add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from torch_geometric.data import Data

from bequest import ImageClassification, Study, TextClassification, load_task
from bequest.common.errors import BequestError, StudyError, UnknownNameError
from bequest.evaluators.datasets import Entry, TaskKind, register_task
from bequest.evaluators.datasets.catalogue import ENTRIES
from bequest.evaluators.datasets.kinds import KINDS
from bequest.evaluators.factory import (
    EVALUATORS,
    EvaluatorOptions,
    EvaluatorSpec,
    make_evaluator,
    register_evaluator,
    takes,
)
from bequest.evaluators.finetuning.training import TuningBudget
from bequest.evaluators.function import FunctionEvaluator, FunctionTask
from bequest.evaluators.image.training import Budget
from bequest.evaluators.limits import Limit
from bequest.spaces import Parameter, Space
from bequest.spaces.named import SPACES, make_space, register_space
from tests.evaluators.peft.backbones import make_backbone


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_task("digits")


@pytest.fixture(scope="module")
def wine() -> Any:
    return load_task("wine-knn")


@pytest.fixture(scope="module")
def reviews() -> TextClassification:
    frame = pd.DataFrame({"text": ["good", "bad"] * 20, "label": ["+", "-"] * 20})
    return TextClassification(frame, name="reviews")


def refused(task: Any, space: str | None = None, **options: Any) -> str:
    with pytest.raises(BequestError) as caught:
        make_evaluator(task, space, EvaluatorOptions(**options))
    return str(caught.value)


@pytest.mark.parametrize("space", ["nas-bench-201", "darts", "elastic"])
def test_images_have_a_space_of_cells_or_an_elastic_one(digits: Any, space: str) -> None:
    assert make_evaluator(digits, space).space == make_space(space)
    assert make_evaluator(digits).space == make_space("nas-bench-201")


@pytest.mark.parametrize("space", ["gnn", "nas-bench-graph"])
def test_graphs_have_two_spaces(wine: Any, space: str) -> None:
    assert make_evaluator(wine, space).space == make_space(space)
    assert make_evaluator(wine).space == make_space("gnn")


def test_a_task_of_graphs_has_the_space_with_poolings(graph_task: Any) -> None:
    assert make_evaluator(graph_task).space.name == "gnn-graph"
    message = "'nas-bench-graph' does not fit graph classification ('toy-graphs'): use gnn"
    assert message in refused(graph_task, "nas-bench-graph")


def test_a_space_that_does_not_fit_names_those_that_do(
    digits: Any, wine: Any, reviews: TextClassification
) -> None:
    assert refused(wine, "darts") == (
        "space 'darts' does not fit node classification ('wine-knn'): use gnn or nas-bench-graph"
    )
    assert "'gnn' does not fit image classification" in refused(digits, "gnn")
    assert "('reviews'): use peft" in refused(reviews, "gnn")
    with pytest.raises(UnknownNameError, match="unknown space 'dartz': did you mean 'darts'"):
        make_evaluator(digits, "dartz")


def test_options_reach_the_budget(digits: Any) -> None:
    made: Any = make_evaluator(digits, options=EvaluatorOptions(epochs=2, images=0, size=6))
    assert made.budget == Budget(epochs=2, images=None, size=6)
    backbone = make_backbone("vit")
    options = EvaluatorOptions(backbone=backbone, epochs=2, examples=0, limits=["memory=64MiB"])
    made = make_evaluator(digits, "peft", options)
    assert made.budget == TuningBudget(epochs=2, examples=None)
    assert made.limits == {"memory": 64 * 2**20}


def test_an_option_that_means_nothing_is_refused_with_the_remedy(
    digits: Any, wine: Any, reviews: TextClassification
) -> None:
    assert refused(wine, epochs=2).startswith("task 'wine-knn' is a graph: epochs, images and size")
    assert refused(wine, backbone="minilm") == "space 'gnn' has no backbone: leave it out"
    assert refused(digits, backbone="x") == (
        "space 'nas-bench-201' has no backbone: leave it out, or search space 'peft'"
    )
    assert refused(digits, cost_table="t.json") == (
        "space 'nas-bench-201' has no table of costs: leave it out, or search space 'elastic'"
    )
    assert refused(digits, examples=9) == (
        "space 'nas-bench-201' takes no --examples: leave it out, or search space 'peft'"
    )
    assert "--examples counts training examples" in refused(digits, "peft", images=3, backbone="x")
    assert "the backbone says how large images are" in refused(digits, "peft", size=3)
    assert "takes no --size: leave it out" in refused(reviews, size=3)
    assert "'peft' on images ('digits') needs a backbone: give --b" in refused(digits, "peft")
    assert "a backbone of texts needs a tokenizer" in refused(
        reviews, backbone=make_backbone("bert")
    )


def test_limits_go_where_they_are_kept(digits: Any, wine: Any, reviews: TextClassification) -> None:
    assert takes(reviews, None, "limits")
    assert takes(digits, "peft", "limits")
    assert not takes(digits, "elastic", "limits")
    assert not takes(wine, None, "limits")
    assert "are kept by its sampler" in refused(digits, "elastic", limits=["latency=1ms"])
    assert refused(wine, limits=[Limit("memory", 1.0)]) == (
        "space 'gnn' keeps no limits: leave it out"
    )
    with pytest.raises(StudyError, match="one limit of each name"):
        make_evaluator(reviews, options=EvaluatorOptions(limits=["parameters=1k", "parameters=2k"]))
    with pytest.raises(UnknownNameError, match="unknown cost to limit 'latency'"):
        make_evaluator(reviews, options=EvaluatorOptions(limits=["latency=1ms"]))


# People's own -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Points:
    """A task of a kind that Bequest does not have."""

    data: np.ndarray
    name: str
    kind: str = "curve fitting"
    metric: str = "error"
    direction: str = "minimize"

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "points": len(self.data)}


SLOPES = "slopes"


def slopes() -> Space:
    return Space(SLOPES, [Parameter("slope", FloatDistribution(-1.0, 1.0))], default={"slope": 0.0})


def fit_slope(task: Points, space: str, options: EvaluatorOptions) -> FunctionEvaluator:
    def error(config: dict[str, Any]) -> float:
        return float(np.square(task.data[:, 1] - config["slope"] * task.data[:, 0]).mean())

    facts = FunctionTask(task.name, task.metric, task.direction)
    return FunctionEvaluator(error, make_space(space), facts)


@pytest.fixture
def registered() -> Iterator[None]:
    """A kind of task, a task, a space and an evaluator from outside the package."""
    line = np.stack([np.arange(5.0), 0.5 * np.arange(5.0)], axis=1)
    register_task(
        Entry("half", "curve fitting", "made up", loader=lambda: line),
        TaskKind("curve fitting", "points", make=Points),
    )
    register_space(SLOPES, slopes)
    register_evaluator("slopes", EvaluatorSpec(("curve fitting",), (SLOPES,), fit_slope))
    yield
    del ENTRIES["half"], KINDS["curve fitting"], SPACES[SLOPES], EVALUATORS["slopes"]


@pytest.mark.usefixtures("registered")
def test_a_registered_kind_of_task_is_searched_like_any_other() -> None:
    task: Any = load_task("half")
    assert isinstance(task, Points)
    evaluator = make_evaluator(task)
    assert evaluator.space == slopes()
    study = Study(evaluator, sampler="random", storage="memory", tracking=False)
    study.run(trials=3)
    best = study.best
    assert best.value == pytest.approx(6 * (best.config["slope"] - 0.5) ** 2)
    assert refused(task, epochs=3) == "space 'slopes' takes no --epochs: leave it out"
    with pytest.raises(BequestError, match="there is a space 'slopes' already"):
        register_space(SLOPES, slopes)


def test_what_nobody_registered_is_named(digits: ImageClassification) -> None:
    task: Any = Points(np.zeros((2, 2)), "half")
    assert "task 'half' (curve fitting) has no evaluator: register one" in refused(task)
    task = FunctionTask("mine")
    assert "task 'mine' (FunctionTask) has no evaluator" in refused(task)
    assert isinstance(load_task("wine-knn-links").data, Data)  # type: ignore[attr-defined]
