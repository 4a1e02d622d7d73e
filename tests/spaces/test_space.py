"""Spaces: what holds for every space, checked on spaces that hypothesis makes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bequest.common.errors import ConfigurationError, SpaceError
from bequest.spaces import Condition, Parameter, Space
from bequest.spaces.encoding import choices, scale, unscale


@st.composite
def distributions(draw: st.DrawFn) -> BaseDistribution:
    kind = draw(st.sampled_from(["categorical", "int", "logint", "float", "logfloat", "steps"]))
    low = draw(st.integers(1, 20))
    width = draw(st.integers(0, 20))
    if kind == "categorical":
        options = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
        return CategoricalDistribution(options)
    if kind == "int":
        return IntDistribution(low, low + 3 * width, step=3)
    if kind == "logint":
        return IntDistribution(low, low + width, log=True)
    if kind == "float":
        return FloatDistribution(-low, width)
    if kind == "logfloat":
        return FloatDistribution(low * 1e-4, low * 1e-4 + width, log=True)
    return FloatDistribution(low, low + width * 0.25, step=0.25)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to five parameters; a later one may hang on an earlier one of few values."""
    parameters: list[Parameter] = []
    for i in range(draw(st.integers(1, 5))):
        condition = None
        parents = [p for p in parameters if choices(p.distribution) is not None]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            values = choices(parent.distribution)
            assert values is not None
            condition = Condition(parent.name, tuple(values[: draw(st.integers(1, len(values)))]))
        parameters.append(Parameter(f"p{i}", draw(distributions()), condition))
    return Space("made", parameters)


@given(spaces(), st.integers(0, 99))
def test_samples_are_valid_and_encode_into_their_columns(space: Space, seed: int) -> None:
    configs = [space.sample(np.random.default_rng([seed, i])) for i in range(4)]
    assert [space.validate(config) for config in configs] == configs
    encoding = space.encode(configs)
    assert encoding.values.shape == encoding.mask.shape == (4, len(space))
    for row, config in enumerate(configs):
        for column, p in enumerate(space.parameters):
            value = encoding.values[row, column]
            assert encoding.mask[row, column] == (p.name in config)
            if p.name not in config:
                assert value == 0
            elif encoding.categorical[column]:
                assert choices(p.distribution)[int(value)] == config[p.name]  # type: ignore[index]
            else:
                assert -1e-12 <= value <= 1 + 1e-12


@given(spaces(), st.integers(0, 99))
def test_sampling_is_a_function_of_the_generator(space: Space, seed: int) -> None:
    first, second = (space.sample(np.random.default_rng(seed)) for _ in range(2))
    assert first == second
    assert space.sample(np.random.default_rng(seed + 1), given=first) == first


@given(spaces())
def test_json_brings_the_space_back(space: Space) -> None:
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.hash == space.hash
    config = space.sample(np.random.default_rng(0))
    assert again.validate(config) == config


@given(spaces())
def test_enumeration_agrees_with_size(space: Space) -> None:
    if space.size is None:
        with pytest.raises(SpaceError, match="continuous"):
            list(space.enumerate())
    elif space.size < 3000:
        points = [tuple(sorted(config.items())) for config in space.enumerate()]
        assert len(points) == len(set(points)) == space.size
        assert all(space.validate(dict(point)) == dict(point) for point in points)


@given(distributions(), st.integers(0, 99))
def test_unscale_is_the_inverse_of_scale(distribution: BaseDistribution, seed: int) -> None:
    value = Space("one", [Parameter("p", distribution)]).sample(np.random.default_rng(seed))["p"]
    assert unscale(distribution, scale(distribution, value)) == pytest.approx(value)


@given(spaces())
def test_optuna_suggests_valid_configurations(space: Space) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    config = space.suggest(trial)
    assert space.validate(config) == config == trial.params


SPACE = Space(
    "toy",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat"])),
        Parameter("heads", IntDistribution(1, 8), Condition("layer", ("gat",))),
        Parameter("rate", FloatDistribution(0.001, 0.1, log=True)),
    ],
)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"layer": "gin", "rate": 0.01}, "'layer' is 'gin': allowed is one of 'gcn', 'gat'"),
        ({"layer": "gcn"}, "'rate' is missing: give a number from 0.001 to 0.1"),
        ({"layer": "gat", "rate": 0.01}, "'heads' is missing: give an integer from 1 to 8"),
        (
            {"layer": "gcn", "heads": 2, "rate": 0.01},
            "'heads' is inactive unless 'layer' is one of \\['gat'\\]: leave it out",
        ),
        ({"layer": "gcn", "rate": 0.5}, "'rate' is 0.5: allowed is a number from 0.001 to 0.1"),
        ({"layer": "gcn", "rate": float("nan")}, "'rate' is nan"),
        ({"layer": "gcn", "rate": "0.01"}, "'rate' is '0.01'"),
        ({"layer": "gat", "heads": True, "rate": 0.01}, "'heads' is True"),
        ({"layer": "gat", "heads": 2.5, "rate": 0.01}, "'heads' is 2.5"),
        ({"layer": "gcn", "rate": 0.01, "depth": 2}, "unknown parameter 'depth'"),
    ],
)
def test_an_error_names_parameter_value_and_what_is_allowed(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SPACE.validate(config)


def test_malformed_spaces() -> None:
    layer = Parameter("layer", CategoricalDistribution(["gcn"]))
    with pytest.raises(SpaceError, match="two parameters 'layer'"):
        Space("s", [layer, layer])
    with pytest.raises(SpaceError, match="depends on 'layer', which does not stand before it"):
        Space("s", [Parameter("x", IntDistribution(0, 1), Condition("layer", ("gcn",))), layer])
    with pytest.raises(ConfigurationError, match="'layer' is 'gat'"):
        Space("s", [layer, Parameter("x", IntDistribution(0, 1), Condition("layer", ("gat",)))])
    with pytest.raises(ConfigurationError, match="'layer' is 'gat'"):
        Space("s", [layer], default={"layer": "gat"})


def test_the_hash_is_about_the_choices() -> None:
    other = Space("another name", SPACE.parameters, default={"layer": "gcn", "rate": 0.01})
    assert other.hash == SPACE.hash
    assert Space("toy", SPACE.parameters[:2]).hash != SPACE.hash


def test_an_alias_survives_json_and_leaves_the_hash_alone() -> None:
    plain = Space("toy", [Parameter("x_from_3", IntDistribution(3, 9))])
    named = Space("toy", [Parameter("x_from_3", IntDistribution(3, 9), alias="x")])
    assert named.hash == plain.hash
    assert "alias" not in plain.to_json()["parameters"][0]
    again = Space.from_json(json.loads(json.dumps(named.to_json())))
    assert again.parameters == named.parameters
    assert again.by_choice({"x_from_3": 4}) == {"x": 4}


def test_a_stored_space_of_fine_tuning_without_aliases_still_has_them() -> None:
    def stored(name: str) -> Space:
        data = Space(name, [Parameter("layer_lo_from_3", IntDistribution(3, 9))]).to_json()
        return Space.from_json(data)

    assert stored("peft").parameters[0].choice == "layer_lo"
    assert stored("mine").parameters[0].choice == "layer_lo_from_3"
