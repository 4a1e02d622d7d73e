"""Policies for many sources at once: they learn, they transfer, they are the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bequest.common.errors import ConfigurationError, DataError, UnknownNameError
from bequest.evaluators.task_families.control import (
    SETUPS,
    ControlFamily,
    load_policies,
    save_policies,
)
from bequest.evaluators.task_families.control.policies import Policies
from bequest.evaluators.task_families.control.ppo import PPO


@pytest.fixture(scope="module")
def balanced() -> tuple[ControlFamily, Policies]:
    family = ControlFamily("cartpole-mass", points=3, steps=25_000, episodes=4)
    return family, family.train_many(family.contexts)


def test_contexts_are_the_published_ones() -> None:
    family = ControlFamily("cartpole-mass")
    assert family.contexts.shape == (100, 1)
    assert family.contexts[[0, -1], 0] == pytest.approx([0.1, 10.0])
    assert ControlFamily("pendulum-step").contexts[[0, -1], 0] == pytest.approx([0.005, 0.5])
    three = ControlFamily("cartpole")
    assert three.contexts.shape == (125, 3)
    assert three.dimensions == ("cart_mass", "pole_length", "pole_mass")
    with pytest.raises(UnknownNameError, match="did you mean 'cartpole-mass'"):
        ControlFamily("cartpole-mas")
    with pytest.raises(ConfigurationError, match="steps is -5: give 1 or more"):
        ControlFamily("cartpole-mass", steps=-5)


def test_they_learn_to_balance(balanced: tuple[ControlFamily, Policies]) -> None:
    family, policies = balanced
    matrix = family.matrix_of(policies, family.contexts)
    untrained = family.matrix_of(
        Policies.fresh(3, 5, 2, 64, torch.Generator().manual_seed(0)), family.contexts
    )
    assert matrix.shape == (3, 3)
    assert matrix.max() > 0.5
    assert matrix.mean() > 3 * untrained.mean()
    assert matrix.min() >= 0
    assert matrix.max() <= 1


def test_they_are_the_same_every_time(balanced: tuple[ControlFamily, Policies]) -> None:
    family = ControlFamily("cartpole-mass", points=3, steps=2_000, episodes=4)
    first, again = (family.train_many(family.contexts, seed=4) for _ in range(2))
    assert all(torch.equal(a, first.tensors[k]) for k, a in again.tensors.items())
    assert np.array_equal(
        family.matrix_of(first, family.contexts), family.matrix_of(again, family.contexts)
    )


def test_sources_do_not_mix(balanced: tuple[ControlFamily, Policies]) -> None:
    """A policy taken from the stack does what it does within it."""
    family, policies = balanced
    whole = family.matrix_of(policies, family.contexts)
    assert family.evaluate(policies.of([2]), family.contexts) == pytest.approx(whole[2])


@pytest.mark.parametrize("name", SETUPS)
def test_every_family_trains(name: str) -> None:
    family = ControlFamily(name, points=2, steps=2_000, episodes=2)
    model = family.train(family.contexts[0], seed=1)
    row = family.evaluate(model, family.contexts)
    assert row.shape == (len(family.contexts),)
    assert np.isfinite(row).all()
    batch = family.train_batch(family.contexts[:2])
    assert [len(p) for p in batch] == [1, 1]


def test_they_are_saved(balanced: tuple[ControlFamily, Policies], tmp_path: Path) -> None:
    family, policies = balanced
    save_policies(policies, tmp_path / "policies.safetensors")
    loaded = load_policies(tmp_path / "policies.safetensors")
    assert np.array_equal(
        family.matrix_of(loaded, family.contexts), family.matrix_of(policies, family.contexts)
    )
    (tmp_path / "other").write_bytes(b"no")
    with pytest.raises(DataError, match="holds no policies"):
        load_policies(tmp_path / "other")


def test_the_settings_are_those_asked_for() -> None:
    assert ControlFamily("cartpole-mass", steps=5).settings == PPO(steps=5)
