"""What every evaluator must do."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from ..common.errors import ConfigurationError
from ..evaluators.fitted_model import load_model
from ..evaluators.task import (
    Conditioned,
    Evaluator,
    Fingerprinted,
    Fitter,
    Selective,
    Task,
)
from ..spaces import Config

CLOCKS = {"seconds"}
"""Metrics that say how long something took; nothing else may differ from run to run."""


class Stop(Exception):
    """What a report raises in these tests, as a pruner's would."""


class EvaluatorSuite:
    """Subclass it and provide the fixture ``evaluator``: one whose trainings are short.

    Override ``config`` where the space's default takes long, and ``inputs`` where the evaluator can
    `fit` and the model is to be saved and read again.
    """

    reports = True
    """Whether a training reports its course."""

    @pytest.fixture
    def evaluator(self) -> Any:
        """The evaluator that is tested."""
        raise NotImplementedError("provide the fixture 'evaluator'")

    @pytest.fixture
    def config(self, evaluator: Evaluator) -> Config:
        """A configuration of its space."""
        return evaluator.space.default or evaluator.space.sample(np.random.default_rng(0))

    @pytest.fixture
    def inputs(self) -> Any:
        """What a fitted model may predict; ``None`` for none."""
        return None

    @pytest.fixture
    def backbone(self) -> Any:
        """What `load_model` needs beside the folder; ``None`` for nothing."""
        return None

    def test_the_task_describes_itself(self, evaluator: Evaluator) -> None:
        """Name, metric, direction, and facts that are plain JSON."""
        task = evaluator.task
        assert isinstance(task, Task)
        assert task.name
        assert task.metric
        assert task.direction in ("maximize", "minimize")
        facts = task.describe()
        assert facts["kind"]
        assert json.loads(json.dumps(facts)) == facts

    def test_the_outcome_is_a_function_of_configuration_and_seed(
        self, evaluator: Evaluator, config: Config
    ) -> None:
        """Twice the same; all that is measured is finite, and the configuration stays as it is."""
        given = dict(config)
        first, again = (evaluator(config, seed=3) for _ in range(2))
        assert config == given
        assert math.isfinite(first.value)
        assert first.value == again.value
        measured, repeated = (
            {name: value for name, value in outcome.metrics.items() if name not in CLOCKS}
            for outcome in (first, again)
        )
        assert measured == repeated
        assert all(math.isfinite(value) for value in first.metrics.values())

    def test_nothing_outside_is_drawn_from(self, evaluator: Evaluator, config: Config) -> None:
        """The global random streams are where they were."""
        torch = pytest.importorskip("torch")
        before = torch.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
        evaluator(config, seed=0)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert pickle.dumps(np.random.get_state()) == before[1]  # noqa: NPY002

    def test_a_configuration_outside_the_space_is_refused(
        self, evaluator: Evaluator, config: Config
    ) -> None:
        """Before anything is trained."""
        with pytest.raises(ConfigurationError):
            evaluator({**config, "no_such_parameter": 1}, seed=0)

    def test_a_training_reports_its_course(self, evaluator: Evaluator, config: Config) -> None:
        """Steps rise, values are finite, and what a report raises ends the training."""
        if not self.reports:
            pytest.skip("nothing is reported")
        course: list[tuple[int, float]] = []
        evaluator(config, seed=0, report=lambda step, value: course.append((step, value)))
        steps = [step for step, _ in course]
        assert course
        assert steps == sorted(set(steps))
        assert all(math.isfinite(value) for _, value in course)

        def stop(step: int, value: float) -> None:
            raise Stop

        with pytest.raises(Stop):
            evaluator(config, seed=0, report=stop)

    def test_a_worker_process_measures_the_same(self, evaluator: Evaluator, config: Config) -> None:
        """An evaluator can be sent to another process."""
        sent: Evaluator = cloudpickle.loads(cloudpickle.dumps(evaluator))
        assert sent(config, seed=1).value == evaluator(config, seed=1).value

    def test_conditions_are_plain(self, evaluator: Evaluator) -> None:
        """What is not as usual is plain JSON: it names studies."""
        if isinstance(evaluator, Conditioned):
            assert json.loads(json.dumps(evaluator.conditions)) == evaluator.conditions

    def test_fingerprints_are_finite(self, evaluator: Evaluator) -> None:
        """Each is a list of finite numbers, twice the same."""
        if not isinstance(evaluator, Fingerprinted):
            pytest.skip("it has none")
        fingerprints = evaluator.fingerprints()
        assert fingerprints
        for name, values in fingerprints.items():
            assert np.isfinite(list(values)).all()
            assert list(values) == list(evaluator.fingerprints()[name])

    def test_what_can_be_trained_is_allowed(self, evaluator: Evaluator, config: Config) -> None:
        """An evaluator that knows what it would refuse allows this configuration."""
        if isinstance(evaluator, Selective):
            assert evaluator.allows(config)

    def test_a_fitted_model_comes_back_from_its_folder(
        self, evaluator: Evaluator, config: Config, inputs: Any, backbone: Any, tmp_path: Path
    ) -> None:
        """`fit` keeps the model; saved and read again it predicts the same."""
        if not isinstance(evaluator, Fitter):
            pytest.skip("it keeps no model")
        model = evaluator.fit(config, seed=0)
        assert f"test_{evaluator.task.metric}" in model.metrics
        if inputs is None:
            return
        model.save(str(tmp_path))
        again = load_model(tmp_path, backbone=backbone)
        assert again.metrics == model.metrics
        assert np.array_equal(np.asarray(again.predict(inputs)), np.asarray(model.predict(inputs)))
