"""A selection from end to end: kept, resumed, logged, drawn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from bequest import TaskSelection
from bequest.banks.bank import Bank
from bequest.banks.matrices import matrix_of
from bequest.common.errors import BankError, EvaluationError, SelectionError
from bequest.evaluators.task_families.control import ControlFamily
from bequest.evaluators.task_families.rotated_digits import RotatedDigits
from bequest.search.task_selection import make_selector

CONTEXTS = np.linspace(0, 1, 25)


def returns(model: float, contexts: np.ndarray) -> np.ndarray:
    return np.asarray(1 - np.abs(model - contexts[:, 0]))


@pytest.fixture
def mlflow_uri(mlflow_home: Path) -> str:
    return f"sqlite:///{mlflow_home / 'mlflow.db'}"


class Counted:
    """Trains by remembering the context, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    def __call__(self, context: np.ndarray) -> float:
        self.calls.append(float(context[0]))
        return float(context[0])


class Impatient(Counted):
    """Presses Ctrl-C after so many trainings."""

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.patience = patience

    def __call__(self, context: np.ndarray) -> float:
        if len(self.calls) == self.patience:
            raise KeyboardInterrupt
        return super().__call__(context)


def selection(name: str, train: Any, **options: Any) -> TaskSelection:
    options.setdefault("tracking", False)
    return TaskSelection(CONTEXTS, train, returns, name=name, **options)


def test_from_python(bequest_home: Path) -> None:
    found = selection("one", Counted()).run(budget=5)
    assert len(found.sources) == 5
    assert found.value > 0.93
    assert set(found.assignment) <= set(found.selector.trained)
    assert found.model(found.selector.trained[0]) == found.chosen[0, 0]
    with pytest.raises(SelectionError, match="was not trained"):
        found.model(int(found.selector.untrained[0]))


@pytest.mark.parametrize("selector", ["bequest", "gp-mbtl"])
def test_it_goes_on_where_it_stopped(bequest_home: Path, selector: str) -> None:
    whole = selection("whole", Counted(), selector=selector).run(budget=7)
    with pytest.raises(KeyboardInterrupt):
        selection("cut", Impatient(3), selector=selector).run(budget=7)
    rest = Counted()
    cut = selection("cut", rest, selector=selector)
    assert len(cut.sources) == 3
    cut.run(budget=7)
    assert len(rest.calls) == 4, "nothing is trained twice"
    assert cut.selector.trained == whole.selector.trained
    assert cut.value == whole.value


def test_a_budget_may_grow(bequest_home: Path) -> None:
    small = selection("growing", Counted()).run(budget=3)
    assert np.sort(small.chosen[:, 0]) == pytest.approx([4 / 24, 12 / 24, 20 / 24], abs=0.05)
    rest = Counted()
    grown = selection("growing", rest).run(budget=6)
    assert len(rest.calls) == 3
    assert grown.value > 0.94


def test_a_budget_is_planned_for_where_nothing_else_ends_the_run(bequest_home: Path) -> None:
    planned = selection("planned", Counted()).run(budget=4)
    open_ended = selection("open", Counted()).run(budget=4, tolerance=1e-6)
    assert planned.selector.budget == 4
    assert open_ended.selector.budget is None
    assert planned.value > open_ended.value


def test_a_kill_loses_at_most_what_was_being_trained(bequest_home: Path) -> None:
    class Killed(Exception):
        pass

    def train(context: np.ndarray) -> float:
        if len(cut.sources) == 2:
            raise Killed
        return float(context[0])

    cut = selection("killed", train)
    with pytest.raises(Killed):
        cut.run(budget=5)
    again = selection("killed", Counted())
    assert len(again.sources) == 2
    assert again.run(budget=5).selector.trained == (
        selection("calm", Counted()).run(budget=5).selector.trained
    )


def test_it_stops_where_nothing_more_is_to_be_gained(bequest_home: Path) -> None:
    found = selection("enough", Counted()).run(tolerance=0.01)
    assert 3 <= len(found.sources) < 15
    assert found.selector.expected_gain < 0.01
    assert len(selection("enough", Counted()).run(tolerance=0.01).sources) == len(found.sources)


def test_a_budget_above_the_number_of_contexts_is_all_of_them(bequest_home: Path) -> None:
    assert len(selection("all", Counted()).run(budget=1000).sources) == 25


def test_odd_families(bequest_home: Path) -> None:
    """One context, contexts given twice, returns that are all alike, rows with holes."""

    def choose(name: str, contexts: Any, evaluate: Any) -> TaskSelection:
        found = TaskSelection(contexts, Counted(), evaluate, name=name, tracking=False)
        found.run(budget=10)
        assert len(found.plot()) == 3
        return found

    one = choose("one", [0.5], returns)
    assert (one.value, one.assignment.tolist()) == (1.0, [0])
    twice = choose("twice", [0.0, 0.0, 0.5, 1.0, 1.0], returns)
    assert sorted(twice.selector.trained) == [0, 1, 2, 3, 4]
    assert twice.value == 1.0
    alike = choose("alike", CONTEXTS, lambda model, contexts: np.full(len(contexts), 0.3))
    assert alike.value == pytest.approx(0.3)
    assert len(set(alike.selector.trained)) == 10

    def near_only(model: float, contexts: np.ndarray) -> np.ndarray:
        row = returns(model, contexts)
        return np.where(row > 0.8, row, np.nan)

    holes = choose("holes", CONTEXTS, near_only)
    assert holes.value > 0.95
    assert len(holes.selector.trained) == 10


def test_a_row_of_nan_is_a_failure(bequest_home: Path) -> None:
    def nowhere(model: float, contexts: np.ndarray) -> np.ndarray:
        return returns(model, contexts) if model < 0.8 else np.full(len(contexts), np.nan)

    found = TaskSelection(CONTEXTS, Counted(), nowhere, name="nan", tracking=False).run(budget=8)
    failed = [s for s in found.sources if s.error]
    assert {s.error for s in failed} == {"every return is NaN"}
    assert {s.index for s in failed} == found.selector.failed
    assert len(found.sources) == 8
    assert np.isfinite(found.value)


def test_an_infinite_return_is_a_failure_too(bequest_home: Path) -> None:
    def diverging(model: float, contexts: np.ndarray) -> np.ndarray:
        return np.where(model > 0.9, -np.inf, returns(model, contexts))

    def begun() -> TaskSelection:
        return TaskSelection(CONTEXTS, Counted(), diverging, name="toy", tracking=False, seed=1)

    chosen = begun().run(budget=8)
    failed = [s for s in chosen.sources if s.error]
    assert failed
    assert "infinite returns" in str(failed[0].error)
    assert len(begun().run(budget=8).sources) == 8  # kept, and not trained again


def test_a_model_of_a_batch_is_trained_with_its_batch_again(bequest_home: Path) -> None:
    def train(context: np.ndarray, seed: int) -> float:
        return float(context[0])

    def train_batch(contexts: np.ndarray, seed: int) -> list[float]:
        noise = np.random.default_rng(seed).normal(0, 0.01, len(contexts))  # one stream for all
        return list(contexts[:, 0] + noise)

    def begun() -> TaskSelection:
        return selection("toy", train, train_batch=train_batch)

    begun().run(budget=7, batch=3)
    later = begun()
    for source in later.sources:
        row = returns(later.model(source.index), later.contexts)
        assert np.array_equal(row, source.row)
    assert [len(s.together) for s in later.sources] == [3, 3, 3, 3, 3, 3, 0]


def test_names_stay_below_the_home(bequest_home: Path) -> None:
    for name in ("../../up", "/tmp/other"):
        assert selection(name, Counted()).store.folder.parent == bequest_home / "selections"
    for name in ("", ".", " .. "):
        with pytest.raises(SelectionError, match="give it a name"):
            selection(name, Counted())


def test_what_contradicts_a_selector_is_refused(bequest_home: Path) -> None:
    made = make_selector("bequest", CONTEXTS, costs=np.full(25, 2.0))
    with pytest.raises(SelectionError, match="made for other contexts"):
        TaskSelection(CONTEXTS[:9], Counted(), returns, name="a", selector=made, tracking=False)
    with pytest.raises(SelectionError, match="has other costs"):
        selection("b", Counted(), selector=made, costs=np.ones(25))
    assert selection("c", Counted(), selector=made).selector is made
    with pytest.raises(SelectionError, match="seed is -1"):
        selection("d", Counted(), seed=-1)
    with pytest.raises(SelectionError, match="a batch of 0 sources"):
        selection("e", Counted()).run(budget=3, batch=0)


def test_batches_are_trained_at_once(bequest_home: Path) -> None:
    sizes = []

    def train_batch(contexts: np.ndarray) -> list[float]:
        sizes.append(len(contexts))
        return [float(c[0]) for c in contexts]

    found = selection("batches", Counted(), train_batch=train_batch).run(budget=7, batch=3)
    assert sizes == [3, 3]
    assert len(found.sources) == 7
    assert found.value > 0.94


def test_failures_are_kept_and_passed_by(bequest_home: Path) -> None:
    def train(context: np.ndarray) -> float:
        if context[0] > 0.9:
            raise EvaluationError("it exploded")
        return float(context[0])

    found = selection("failing", train).run(budget=25)
    failed = [s for s in found.sources if s.error]
    assert [s.error for s in failed] == ["EvaluationError: it exploded"] * 3
    assert found.value == pytest.approx(1 - (1 + 2 + 3) / 24 / 25)


def test_most_failures_end_it(bequest_home: Path) -> None:
    def train(context: np.ndarray) -> float:
        raise ValueError("no licence")

    with pytest.raises(SelectionError, match=r"4 of 4 trainings failed.*no licence"):
        selection("hopeless", train).run(budget=20)


def test_what_does_not_fit_is_refused(bequest_home: Path) -> None:
    selection("mine", Counted())
    with pytest.raises(SelectionError, match="begun with other seed"):
        selection("mine", Counted(), seed=1)
    with pytest.raises(SelectionError, match="begun with other contexts"):
        TaskSelection([1.0, 2.0], Counted(), returns, name="mine", tracking=False)
    with pytest.raises(SelectionError, match="give a limit"):
        selection("mine", Counted()).run()
    with pytest.raises(SelectionError, match="at least 1"):
        selection("mine", Counted()).run(budget=0)
    short = TaskSelection([1.0, 2.0], Counted(), lambda m, c: [0.1], name="short", tracking=False)
    with pytest.raises(SelectionError, match=r"shape \(1,\)"):
        short.run(budget=1)


def test_a_tolerance_needs_a_selector_that_expects_something(bequest_home: Path) -> None:
    with pytest.raises(SelectionError, match="RandomSelector expects nothing"):
        selection("blind", Counted(), selector="random").run(tolerance=0.01)


def test_a_batch_of_another_length_is_a_failure(bequest_home: Path) -> None:
    found = selection("few", Counted(), train_batch=lambda contexts: [0.5])
    found.run(budget=3, batch=3)
    errors = {s.error for s in found.sources if s.error}
    assert errors == {"SelectionError: train_batch returned 1 models for 3 contexts"}


def test_it_is_logged(bequest_home: Path, mlflow_uri: str) -> None:
    def train(context: np.ndarray) -> float:
        if context[0] == 1.0:
            raise EvaluationError("too far")
        return float(context[0])

    selection("logged", train, tracking=mlflow_uri).run(budget=4)
    found = selection("logged", train, tracking=mlflow_uri).run(budget=25)
    client = MlflowClient(mlflow_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "bequest/task-selection"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in runs if r.data.tags["bequest.role"] == "selection"]
    children = [r for r in runs if r.data.tags["bequest.role"] == "source"]
    assert len(children) == 25
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parent.info.run_id}
    assert sorted(r.info.status for r in children) == ["FAILED"] + ["FINISHED"] * 24
    curve = client.get_metric_history(parent.info.run_id, "V")
    assert [p.step for p in curve] == list(range(1, 26))
    assert curve[-1].value == pytest.approx(found.value)
    pictures = {a.path for a in client.list_artifacts(parent.info.run_id, "plots")}
    assert pictures == {f"plots/{n}.png" for n in ("value", "contexts", "transfer")}
    assert found.sync() == 0


def test_dimensions_may_be_called_anything(bequest_home: Path, mlflow_uri: str) -> None:
    contexts = np.stack([CONTEXTS, CONTEXTS], axis=1)
    names = ("context", "mass [kg]")
    options: dict[str, Any] = {"name": "toy", "dimensions": names, "tracking": mlflow_uri}
    chosen = TaskSelection(contexts, Counted(), returns, **options).run(budget=2)
    assert chosen.tracker.error is None
    client = MlflowClient(tracking_uri=mlflow_uri)
    (experiment,) = client.search_experiments(filter_string="name LIKE 'bequest%'")
    rule = "tags.`bequest.role` = 'source'"
    runs = client.search_runs([experiment.experiment_id], rule)
    assert {tuple(sorted(run.data.params)) for run in runs} == {
        ("context", "context_", "mass _kg_")
    }
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_mlflow_that_is_down_does_not_stop_it(bequest_home: Path, mlflow_uri: str) -> None:
    with pytest.warns(UserWarning, match="nothing is lost"):
        found = selection("down", Counted(), tracking="http://127.0.0.1:9").run(budget=3)
    assert len(found.sources) == 3
    assert selection("down", Counted(), tracking=mlflow_uri).sync() == 3


def test_it_is_handed_to_a_bank(bequest_home: Path, tmp_path: Path) -> None:
    found = selection("banked", Counted()).run(budget=4)
    bank = Bank(f"sqlite:///{tmp_path / 'bank.db'}")
    assert found.append_to(bank, "line") == 100
    assert found.append_to(bank, "line") == 0
    contexts, matrix = matrix_of(bank, "line")
    assert contexts[:, 0] == pytest.approx(CONTEXTS)
    for index, row in zip(found.selector.trained, found.selector.rows, strict=True):
        assert matrix[index] == pytest.approx(row)
    assert np.isnan(matrix[found.selector.untrained]).all()
    with pytest.raises(BankError, match="no family 'circle'"):
        matrix_of(bank, "circle")


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_it_is_drawn(bequest_home: Path, dimensions: int) -> None:
    axes = np.meshgrid(*[np.linspace(0, 1, 4)] * dimensions)
    contexts = np.stack([a.ravel() for a in axes], axis=1)
    found = TaskSelection(
        contexts,
        lambda context: context,
        lambda model, all_contexts: 1 - np.abs(all_contexts - model).mean(1),
        name="drawn",
        tracking=False,
    )
    assert found.plot() == []
    paths = found.run(budget=3).plot()
    assert [p.name for p in paths] == ["value.png", "contexts.png", "transfer.png"]
    assert all(p.stat().st_size > 10_000 for p in paths)


def test_turned_digits(bequest_home: Path) -> None:
    family = RotatedDigits((0.0, 30.0, 60.0, 90.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = TaskSelection.of(family, tracking=False).run(budget=2)
    own = [s.row[s.index] for s in found.sources]
    assert min(own) > 0.97, "an angle that was trained on is read well"
    assert found.sources[0].row.min() < 0.6, "90 degrees away is another matter"


def test_whoever_mends_the_cause_may_go_on(tmp_path: Path) -> None:
    broken = True

    def train(context: np.ndarray, seed: int) -> float:
        if broken:
            raise RuntimeError("disk full")
        return float(context[0])

    def make() -> TaskSelection:
        return TaskSelection(
            np.linspace(0, 1, 20),
            train,
            lambda model, contexts: 1 - np.abs(model - contexts[:, 0]),
            name="mended",
            folder=tmp_path,
            tracking=False,
        )

    with pytest.raises(SelectionError, match="disk full"):
        make().run(10, progress=False)
    broken = False
    selection = make().run(10, progress=False)
    assert len(selection.sources) == 10
    assert sum(source.error is None for source in selection.sources) == 6


def test_other_trainings_are_another_selection(tmp_path: Path, bequest_home: Path) -> None:
    short, usual = (ControlFamily("cartpole-mass", steps=steps) for steps in (10_000, None))
    names = [TaskSelection.of(family, tracking=False).name for family in (short, usual)]
    assert names == ["cartpole-mass-bequest-steps-10000-s0", "cartpole-mass-bequest-s0"]
    TaskSelection.of(short, name="one", tracking=False)
    with pytest.raises(SelectionError, match="begun with other conditions"):
        TaskSelection.of(usual, name="one", tracking=False)
