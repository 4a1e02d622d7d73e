"""The score by which the once-for-all search ranks networks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from bequest.search.two_stage.once_for_all.search import CompressionSearch
from bequest.spaces.elastic import SMALL
from bequest.spaces.elastic_genes import Networks


@pytest.mark.parametrize("caution", [0.0, 0.5, 2.0])
def test_spread_is_taken_off_the_accuracy(caution: float) -> None:
    accuracy, spread = np.array([0.9, 0.92, 0.8]), np.array([0.0, 0.1, 0.02])
    predictor = SimpleNamespace(predict=lambda networks: (accuracy, spread))
    made: Any = SimpleNamespace(predictor=predictor, settings=SimpleNamespace(caution=caution))
    networks = Networks.default(SMALL, 3)
    score = CompressionSearch.score(cast(Any, made), networks)
    assert score == pytest.approx([0.9, 0.92 - 0.1 * caution, 0.8 - 0.02 * caution])
