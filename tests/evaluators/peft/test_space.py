"""The space of fine-tuning configurations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from bequest.common.errors import BequestError, SpaceError, UnknownNameError
from bequest.evaluators.peft.handle import Handle, Site
from bequest.evaluators.peft.hooks import Hooks
from bequest.evaluators.peft.method import Default, LearningRates, Method, one_of
from bequest.evaluators.peft.registry import METHODS, attach, register_method
from bequest.evaluators.peft.space import method_of, peft_space, searchable, usual_methods
from bequest.spaces import Config, Space
from bequest.spaces.named import make_space
from tests.evaluators.peft.backbones import make_backbone


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


@pytest.mark.parametrize("name", searchable())
def test_each_method_has_its_knobs_and_one_rate(name: str) -> None:
    method, space = METHODS[name], peft_space(methods=[name])
    ranges = method.ranges or {}
    assert set(ranges) <= set(method.knobs)
    for seed in range(5):
        config = space.sample(np.random.default_rng(seed))
        choice = method_of(config)
        assert set(choice.knobs) == set(ranges)
        assert (method.rates is None) == (name == "probe")
        if method.rates is not None:
            assert method.rates.low <= choice.learning_rate <= method.rates.high
        assert ("layer_lo" in config) == method.ranged
    for knobs in method.cheapest():
        assert set(knobs) == set(ranges)
        assert all(
            ranges[n]._contains(ranges[n].to_internal_repr(value)) for n, value in knobs.items()
        )


def test_the_space_is_that_of_version_0_1_0() -> None:
    """Stored studies and banks are of these spaces: no name, range or order may change."""
    assert peft_space().hash == make_space("peft").hash == "fcc19c47210ee943"
    assert peft_space(12, searchable()).hash == "b28c784d275c215b"
    assert peft_space(4, lowest={"lora": 2, "adapter": 3}).hash == "528d7cd2d09c025f"


# People's own -------------------------------------------------------------------------------------


class Shift(nn.Module):
    """A learned vector that is added to the last block's output."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.full((width,), start))


def add_shift(site: Site, *, start: float = 0.0) -> Handle:
    hooks, own = Hooks(site.model, site.arch), Shift(site.width, start)
    hooks.module_output(site.layers[-1].path, lambda states: states + own.shift)
    return Handle(site, own, hooks=hooks)


SHIFT = Method(
    "add-shift",
    add_shift,
    ranges={"start": one_of(0.0, 0.1)},
    rates=LearningRates("shift", 1e-3, 1e-1),
    searched=True,
    default=Default({"start": 0.0}, learning_rate=1e-2),
)


@pytest.fixture
def registered() -> Iterator[None]:
    register_method(SHIFT)
    yield
    del METHODS["add-shift"]


@pytest.mark.usefixtures("registered")
def test_a_registered_method_is_found_in_the_space() -> None:
    space = peft_space()
    assert usual_methods()[-1] == "add-shift"
    config = space.defaults[-1]
    assert config["method"] == "add-shift"
    assert config["learning_rate_shift"] == 1e-2
    choice = method_of(config)
    model = make_backbone("bert")
    handle = attach(model, choice.method, layer_lo=choice.layer_lo, **choice.knobs)
    assert handle.count() == 32
    with pytest.raises(BequestError, match="there is a method 'add-shift' already"):
        register_method(SHIFT)


def test_what_was_registered_is_gone_again() -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'add-shift'"):
        peft_space(methods=["add-shift"])


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
