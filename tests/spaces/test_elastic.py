"""The elastic spaces, and their networks as arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.common.errors import ConfigurationError, SpaceError, UnknownNameError
from bequest.spaces.elastic import GEOMETRIES, PUBLISHED, SMALL, Geometry, geometry_of
from bequest.spaces.elastic_encoding import decode, encode, widths
from bequest.spaces.elastic_genes import Networks, joined
from bequest.spaces.named import make_space

geometries = st.sampled_from(sorted(GEOMETRIES))
seeds = st.integers(0, 2**31)


def test_the_published_geometry() -> None:
    blocks = PUBLISHED.all_blocks
    assert len(blocks) == 21
    first = [block for block in blocks if not block.place]
    assert [block.size for block in first] == [112, 56, 28, 14, 14, 7]
    assert [block.stride for block in first] == [2, 2, 2, 1, 2, 1]
    assert [block.inputs for block in first] == [16, 24, 40, 80, 96, 192]
    choices = [sum(len(b.channels) for b in blocks if b.stage == s) for s in range(6)]
    assert choices == [26, 40, 74, 96, 172, 49]
    assert widths(PUBLISHED) == (520, 252)
    size = make_space("elastic-imagenet").size
    assert size is not None
    assert 70 < math.log10(size) < 77


@given(geometries, seeds)
@settings(max_examples=30)
def test_decoding_brings_back_what_was_encoded(name: str, seed: int) -> None:
    geometry = GEOMETRIES[name]
    networks = Networks.sample(geometry, 5, np.random.default_rng(seed))
    architecture, bits = encode(networks)
    assert decode(geometry, architecture, bits).keys() == networks.keys()
    back = encode(decode(geometry, architecture, bits))
    np.testing.assert_array_equal(back[0], architecture)
    np.testing.assert_array_equal(back[1], bits)
    active = 2 * networks.there.sum(1)
    np.testing.assert_array_equal(architecture.sum(1), active)
    np.testing.assert_array_equal(bits.sum(1), 2 * active)


@given(geometries, seeds)
@settings(max_examples=20)
def test_networks_are_points_of_the_space_and_back(name: str, seed: int) -> None:
    space, geometry = make_space(name), GEOMETRIES[name]
    networks = Networks.sample(geometry, 3, np.random.default_rng(seed))
    assert networks.valid.all()
    configs = networks.configs()
    assert [space.validate(config) for config in configs] == configs
    assert Networks.of(geometry, configs).keys() == networks.keys()
    drawn = space.sample(np.random.default_rng(seed))
    assert Networks.of(geometry, [drawn]).configs() == [drawn]
    bare = geometry.space("bare", bits=False)
    assert [bare.validate(c) for c in networks.configs(bits=False)]


def test_hidden_genes_are_no_difference() -> None:
    networks = Networks.default(SMALL, 2)
    networks.depth[:, 0] = 2
    networks.kernel[1, 3] = 2
    networks.bits[1, 3] = 0
    assert networks.keys()[0] == networks.keys()[1]
    networks.kernel[1, 0] = 2
    assert networks.keys()[0] != networks.keys()[1]


def test_a_wide_kernel_has_no_four_bit_inputs() -> None:
    networks = Networks.default(SMALL, 1)
    networks.kernel[:], networks.bits[:] = 2, 0
    assert not networks.valid.any()
    mended = networks.mended()
    assert mended.valid.all()
    assert mended.bits[0, 0].tolist() == [0, 0, 0, 1]
    config = mended.configs()[0]
    with pytest.raises(ConfigurationError, match="s1b1_depthwise_inputs_wide"):
        make_space("elastic").validate({**config, "s1b1_depthwise_inputs_wide": 4})


def test_depth_decides_which_blocks_are_asked() -> None:
    space = make_space("elastic")
    assert space.default is not None
    shallow = {k: v for k, v in space.default.items() if not k.startswith(("s1b3", "s1b4"))}
    assert space.validate({**shallow, "depth1": 2})["depth1"] == 2
    with pytest.raises(ConfigurationError, match="s1b3_kernel"):
        space.validate({**space.default, "depth1": 2})
    del shallow["s1b2_kernel"]
    with pytest.raises(ConfigurationError, match="block s1b2 is within the depth"):
        Networks.of(SMALL, [shallow])


def test_groups_join() -> None:
    networks = Networks.sample(SMALL, 4, np.random.default_rng(0))
    assert joined([networks[:1], networks[1:]]).keys() == networks.keys()


def test_errors_name_the_remedy() -> None:
    with pytest.raises(SpaceError, match="one width more"):
        Geometry(14, (8, 16), (4, 4), (1, 1))
    with pytest.raises(UnknownNameError, match="unknown elastic space 'darts'"):
        geometry_of(make_space("darts"))
    with pytest.raises(ConfigurationError, match="this geometry has"):
        decode(SMALL, np.zeros((1, 3)), np.zeros((1, 3)))
