"""What every space must do."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import optuna
import pytest

from ..common.errors import ConfigurationError
from ..spaces import Config, Space

DRAWS = 30
MOST = 2_000
"""Configurations that are enumerated at most."""


class SpaceSuite:
    """Subclass it and provide the fixture ``space``.

    Example:
        >>> class TestMySpace(SpaceSuite):
        ...     @pytest.fixture
        ...     def space(self) -> Space:
        ...         return Space("mine", [Parameter("width", IntDistribution(1, 64))])
    """

    @pytest.fixture
    def space(self) -> Space:
        """The space that is tested."""
        raise NotImplementedError("provide the fixture 'space'")

    @pytest.fixture
    def configs(self, space: Space) -> list[Config]:
        """Drawn configurations."""
        return [space.sample(np.random.default_rng(seed)) for seed in range(DRAWS)]

    def test_what_is_drawn_is_valid_and_in_order(self, space: Space, configs: list[Config]) -> None:
        """`sample` gives configurations of the space, as `validate` returns them."""
        order = [p.name for p in space.parameters]
        for config in configs:
            assert space.validate(config) == config
            assert list(config) == [name for name in order if name in config]

    def test_the_same_seed_draws_the_same(self, space: Space, configs: list[Config]) -> None:
        """`sample` is a function of the generator."""
        assert [space.sample(np.random.default_rng(seed)) for seed in range(DRAWS)] == configs

    def test_what_is_given_is_kept(self, space: Space, configs: list[Config]) -> None:
        """`sample` keeps the active parameters that are given."""
        for config in configs:
            assert space.sample(np.random.default_rng(0), config) == config

    def test_defaults_are_valid(self, space: Space) -> None:
        """Each default is a configuration of the space."""
        for config in space.defaults:
            assert space.validate(config) == config
        assert space.default == (space.defaults[0] if space.defaults else None)

    def test_a_trial_is_asked_for_the_active_parameters(
        self, space: Space, configs: list[Config]
    ) -> None:
        """`suggest` asks an Optuna trial for what a configuration holds, and nothing else."""
        for config in configs:
            trial = optuna.trial.FixedTrial(dict(config))
            assert space.suggest(trial) == config
            assert trial.distributions == space.distributions(config)

    def test_other_configurations_are_refused(self, space: Space, configs: list[Config]) -> None:
        """A missing, an unknown and a wrong value each have an error."""
        config = configs[0]
        first = next(iter(config))
        with pytest.raises(ConfigurationError, match=first):
            space.validate({name: value for name, value in config.items() if name != first})
        with pytest.raises(ConfigurationError, match="no_such_parameter"):
            space.validate({**config, "no_such_parameter": 1})
        with pytest.raises(ConfigurationError, match=first):
            space.validate({**config, first: "no such value"})

    def test_encodings_have_a_column_a_parameter(self, space: Space, configs: list[Config]) -> None:
        """`encode` gives finite numbers, and a mask of what is active."""
        encoding = space.encode(configs)
        assert encoding.values.shape == encoding.mask.shape == (len(configs), len(space))
        assert np.isfinite(encoding.values).all()
        assert not encoding.values[~encoding.mask].any()
        assert encoding.mask.sum(1).tolist() == [len(config) for config in configs]
        numeric = encoding.values[:, ~space.categorical]
        assert ((numeric >= 0) & (numeric <= 1)).all()

    def test_it_comes_back_from_json(self, space: Space) -> None:
        """`to_json` is plain JSON, and `from_json` brings the same space back."""
        again = Space.from_json(json.loads(json.dumps(space.to_json())))
        assert type(again) is type(space)
        assert (again.hash, again.name, again.defaults) == (space.hash, space.name, space.defaults)
        assert [p.choice for p in again.parameters] == [p.choice for p in space.parameters]

    def test_two_active_parameters_are_never_one_choice(
        self, space: Space, configs: list[Config]
    ) -> None:
        """Parameters that share an alias exclude each other."""
        for config in configs:
            assert len(space.by_choice(config)) == len(config)

    def test_one_key_for_one_model(self, space: Space, configs: list[Config]) -> None:
        """The canonical configuration is in the space, has the same key, and is its own."""
        for config in configs:
            canonical = space.canonical(config)
            assert space.validate(canonical) == canonical
            assert space.key(canonical) == space.key(config)
            assert space.canonical(canonical) == canonical

    def test_features_are_counts(self, space: Space, configs: list[Config]) -> None:
        """Where a space has counts of its own, they are finite, not negative, and one length."""
        features = space.features(configs)
        if features is not None:
            assert features.shape[0] == len(configs)
            assert np.isfinite(features).all()
            assert (features >= 0).all()

    def test_a_finite_space_enumerates_itself(self, space: Space) -> None:
        """`size` is the number of configurations that `enumerate` gives, all different."""
        if space.size is None:
            pytest.skip("a continuous space")
        configs = list(islice(space.enumerate(), MOST + 1))
        assert all(space.validate(config) == config for config in configs[:DRAWS])
        assert len({repr(config) for config in configs}) == len(configs)
        assert len(configs) == min(space.size, MOST + 1)
