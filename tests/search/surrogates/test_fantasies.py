"""Fantasies: the mean stays, the deviation shrinks."""

from __future__ import annotations

import numpy as np
import torch
from optuna.distributions import FloatDistribution

from bequest.search.surrogates.configurations import ConfigurationInputs, ConfigurationProcess
from bequest.search.surrogates.fantasies import fantasize, fantasize_rows
from bequest.search.surrogates.rows import rows_of
from bequest.search.surrogates.two_way import TwoWayProcess
from bequest.spaces import Parameter, Space

LINE = Space("line", [Parameter("x", FloatDistribution(0, 1))])


def test_running_trials_count_as_predicted() -> None:
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.random((8, 1)))
    y = torch.tensor(np.sin(6 * x[:, 0].numpy()) + 0.1 * rng.normal(size=8))
    process = ConfigurationProcess(ConfigurationInputs(LINE), x, (y - y.mean()) / y.std())
    asked, running = torch.linspace(0, 1, 50).double()[:, None], torch.tensor([[0.97], [0.5]])
    mean, _ = process.predict(asked)
    rest = process.covariance(asked, asked).diagonal(dim1=1, dim2=2) - _explained(process, asked)
    fantasize(process, running.double())
    again, _ = process.predict(asked)
    rest_again = 1 - _explained(process, asked)
    assert torch.allclose(again, mean, atol=1e-8), "the mean stays"
    assert (rest_again <= rest + 1e-9).all(), "the variance, in units of the signal's, shrinks"
    assert float((rest - rest_again).max()) > 1e-3
    assert process.y.shape == (1, 10)
    assert process.x.shape == (10, 1)


def _explained(process: ConfigurationProcess, x: torch.Tensor) -> torch.Tensor:
    cross = process.covariance(x, process.x)
    solved = torch.linalg.solve_triangular(process.cholesky, cross.mT, upper=False)
    return solved.square().sum(1)


def test_rows_of_sources_in_training_are_those_expected() -> None:
    points = np.linspace(0, 1, 15)[:, None]
    matrix = 1 - np.abs(points - points.T) + 0.01 * np.random.default_rng(0).normal(size=(15, 15))
    rows = rows_of(points, np.arange(15), [7, 2], matrix[[7, 2]])
    more = fantasize_rows(rows, [12])
    assert rows.sources == [7, 2], "the rows themselves stay as they were"
    assert more.sources == [7, 2, 12]
    expected, before = TwoWayProcess(rows).predict(np.array([12]))
    np.testing.assert_array_equal(more.values[2], expected[0])
    _, after = TwoWayProcess(more).predict(np.array([12]))
    assert after[0] < before[0]
