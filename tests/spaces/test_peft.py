"""The space of fine-tuning configurations."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.common.errors import SpaceError, UnknownNameError
from bequest.spaces import Config, Space
from bequest.spaces.named import make_space
from bequest.spaces.peft import KNOBS, RATES, WHOLE, method_of, peft_space, smallest


def test_known_good_configurations_come_first() -> None:
    methods = [config["method"] for config in make_space("peft").defaults]
    assert methods == ["probe", "lora", "adapter", "lst", "full"]


def test_defaults_survive_json() -> None:
    space = peft_space()
    assert Space.from_json(space.to_json()).defaults == space.defaults


def test_defaults_begin_where_a_limit_allows() -> None:
    space = peft_space(methods=["probe", "lora", "lst"], lowest={"lora": 3})
    assert [config["method"] for config in space.defaults] == ["probe", "lora", "lst"]
    assert space.defaults[1]["layer_lo_from_3"] == 3


def test_defaults_that_a_limit_forbids_are_left_out() -> None:
    space = peft_space(methods=["probe", "lora"], keep=lambda config: config["method"] != "lora")
    assert [config["method"] for config in space.defaults] == ["probe"]


def test_a_default_begins_at_the_lowest_block_with_which_it_may() -> None:
    def keep(config: Config) -> bool:
        return config["method"] == "probe" or method_of(config).layer_lo >= 4

    space = peft_space(methods=["probe", "lora", "lst"], lowest={"lora": 1}, keep=keep)
    assert [c["method"] for c in space.defaults] == ["probe", "lora", "lst"]
    assert space.defaults[1]["layer_lo_from_1"] == space.defaults[2]["layer_lo"] == 4


@pytest.mark.parametrize("method", KNOBS)
def test_each_method_has_its_knobs_and_one_rate(method: str) -> None:
    space = peft_space(methods=[method])
    for seed in range(5):
        config = space.sample(np.random.default_rng(seed))
        choice = method_of(config)
        assert set(choice.knobs) == set(KNOBS[method])
        rates = [(low, high) for low, high, members in RATES.values() if method in members]
        assert len(rates) == (method != "probe")
        assert all(low <= choice.learning_rate <= high for low, high in rates)
        assert ("layer_lo" in config) == (method not in WHOLE)
    for knobs in smallest(method):
        assert set(knobs) == set(KNOBS[method])
        assert all(
            KNOBS[method][n]._contains(KNOBS[method][n].to_internal_repr(v))
            for n, v in knobs.items()
        )


def test_a_limit_raises_the_lowest_layer_of_some_methods() -> None:
    space = peft_space(layers=6, methods=["lora", "lst"], lowest={"lora": 4})
    for seed in range(20):
        choice = method_of(space.sample(np.random.default_rng(seed)))
        assert choice.method == "lst" or choice.layer_lo >= 4


def test_unknown_methods_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lora'"):
        peft_space(methods=["lorra"])
    with pytest.raises(SpaceError, match="at least one method"):
        peft_space(methods=[])
