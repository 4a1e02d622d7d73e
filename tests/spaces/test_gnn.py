"""The design space of graph networks: what was published lies inside."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bequest.common.errors import ConfigurationError
from bequest.spaces.gnn import ACTIVATIONS, AGGREGATING, LAYERS, STAGES, gnn_space

KINDS = ("node", "link", "graph")

# You, Ying, Leskovec, Design Space for Graph Neural Networks, NeurIPS 2020, table 1.
GRAPHGYM = {
    "batch_norm": (True, False),
    "dropout": (0.0, 0.3, 0.6),
    "activation": ("relu", "prelu", "swish"),
    "aggregation": ("mean", "max", "sum"),
    "stage": ("stack", "skip-sum", "skip-concat"),
    "layers_pre": (1, 2, 3),
    "layers_mp": (2, 4, 6, 8),
    "layers_post": (1, 2, 3),
    "batch_size": (16, 32, 64),
    "learning_rate": (0.1, 0.01, 0.001),
    "optimizer": ("sgd", "adam"),
    "epochs": (100, 200, 400),
}
AUTOTRANSFER = {
    "layers_pre",
    "layers_mp",
    "layers_post",
    "stage",
    "aggregation",
    "width",
    "layer",
    "activation",
    "learning_rate",
    "epochs",
}


def test_every_choice_of_graphgym_is_valid() -> None:
    """GraphGym's own layer has a free aggregation: all twelve dimensions are open there."""
    space = gnn_space("graph")
    base = {"layer": "general", "width": 256, "weight_decay": 5e-4, "pooling": "sum"}
    base |= {name: values[0] for name, values in GRAPHGYM.items()}
    for name, values in GRAPHGYM.items():
        for value in values:
            assert space.validate({**base, name: value})[name] == pytest.approx(value)


def test_every_dimension_of_autotransfer_is_there() -> None:
    for kind in KINDS:
        assert {p.name for p in gnn_space(kind).parameters} >= AUTOTRANSFER


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_is_valid(kind: str) -> None:
    space = gnn_space(kind)
    assert space.default is not None
    assert space.validate(space.default) == space.default


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_alone_are_pooled_and_batched(kind: str) -> None:
    names = {p.name for p in gnn_space(kind).parameters}
    assert ({"pooling", "batch_size"} <= names) == (kind == "graph")


@given(st.integers(0, 10**6), st.sampled_from(KINDS))
def test_aggregation_and_heads_belong_to_their_layers(seed: int, kind: str) -> None:
    space = gnn_space(kind)
    config = space.validate(space.sample(np.random.default_rng(seed)))
    assert ("aggregation" in config) == (config["layer"] in AGGREGATING)
    assert ("heads" in config) == (config["layer"] == "gat")


def test_all_layers_stages_and_activations_may_be_combined() -> None:
    space = gnn_space()
    for layer, stage, activation in itertools.product(LAYERS, STAGES, ACTIVATIONS):
        wish = {"layer": layer, "stage": stage, "activation": activation}
        config = space.sample(np.random.default_rng(0), wish)
        assert wish.items() <= space.validate(config).items()


def test_heads_of_another_layer_are_refused() -> None:
    space = gnn_space()
    with pytest.raises(ConfigurationError, match="'heads' is inactive unless 'layer'"):
        space.validate({**space.default, "heads": 2})  # type: ignore[dict-item]


def test_spaces_differ_where_their_choices_do() -> None:
    assert gnn_space("node") == gnn_space("link")
    assert gnn_space("node") != gnn_space("graph")
